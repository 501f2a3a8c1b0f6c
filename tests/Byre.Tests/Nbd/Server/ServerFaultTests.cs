using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nodes;
using Byre.Tests.Requests;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>What the server does where the system gives out, or two things happen at once. Nothing else of the tests runs meanwhile.</summary>
[Collection(nameof(HostileClientTests))]
public partial class ServerFaultTests
{
    private const int DescriptorLimit = 7;

    /// <summary>Between the look for an export and its use it may be removed; here another server has removed it.</summary>
    [Theory]
    [InlineData(NbdOption.Go)]
    [InlineData(NbdOption.ExportName)]
    public async Task A_client_that_chooses_an_export_while_it_is_removed_is_told_so(NbdOption option)
    {
        await using var disk = new ServedDisk();
        await using var other = new NbdServer(new NbdServerOptions());
        other.Exports.Add(disk.Export);
        await other.Exports.RemoveAsync("disk", hard: false);
        var client = disk.Negotiate();
        client.Channel.SetReceiveTimeout(TimeSpan.FromSeconds(5));
        if (option == NbdOption.Go)
        {
            Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(option, GoData("disk")));
        }
        else
        {
            client.Send(OptionBytes(option, "disk"u8));
            client.ExpectEnd();
        }
    }

    /// <summary>Replies do not wait for the end of a payload that takes its time.</summary>
    [Fact]
    public async Task What_ends_while_a_long_payload_comes_is_answered_at_once()
    {
        var node = new GatedNode(8 << 20);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Simple);
        var read = client.SendRequest(NbdCommand.Read, 0, 512);
        client.Send(client.RequestBytes(NbdCommand.Write, 0, 4 << 20, 0, new byte[1 << 20], 99));
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        using var stop = new CancellationTokenSource();
        var trickle = Task.Run(async () =>
        {
            // It never pauses for so long that the server's patience would be over.
            for (var i = 0; i < 2000 && !stop.IsCancellationRequested; i++)
            {
                client.Send(new byte[100]);
                await Task.Delay(5);
            }
        });
        await Task.Delay(50);
        node.Complete(node.InFlight[0]);
        Assert.Equal(read, ReadU64(client.Read(16 + 512).AsSpan(8)));
        Assert.False(trickle.IsCompleted, "the reply has waited for the payload");
        await stop.CancelAsync();
        await trickle;
    }

    /// <summary>A request that ends later needs a descriptor for its event; without one the thread waits for the request itself.</summary>
    [Fact]
    public async Task Requests_in_flight_end_where_the_system_has_no_descriptors_left()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, null);
        var first = disk.Use(NbdHeaderStyle.Simple);
        Exchange(first); // everything that has to be loaded is
        var client = disk.Use(NbdHeaderStyle.Simple);
        var before = new long[2];
        Assert.Equal(0, GetLimit(DescriptorLimit, before));
        Assert.Equal(0, SetLimit(DescriptorLimit, [3, before[1]]));
        NbdError told;
        try
        {
            Exchange(client);
            told = Fail(client);
        }
        finally
        {
            Assert.Equal(0, SetLimit(DescriptorLimit, before));
        }

        Assert.Equal(NbdError.NoSpace, told);
        Exchange(client);
        Assert.Equal(NbdError.NoSpace, Fail(client));

        void Exchange(RawClient by)
        {
            var cookie = by.SendRequest(NbdCommand.Read, 0, 512);
            Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
            Thread.Sleep(100);
            node.Complete(node.InFlight[0]);
            Assert.Equal(cookie, ReadU64(by.Read(16 + 512).AsSpan(8)));
        }

        NbdError Fail(RawClient by)
        {
            var cookie = by.SendRequest(NbdCommand.Write, 0, 512, 0, new byte[512]);
            Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
            Thread.Sleep(100);
            node.Complete(node.InFlight[0], new BlockException(ErrorCode.NoSpace, "it is full"));
            var reply = by.Read(16);
            return ReadU64(reply.AsSpan(8)) == cookie ? (NbdError)BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(4)) : NbdError.None;
        }
    }

    /// <summary>
    /// Zeroes and discards of a whole huge disk take as long as the image takes; an ending server does not wait for that. The node
    /// takes a millisecond a GiB, so that all of it would take more than four minutes.
    /// </summary>
    [Theory]
    [InlineData(NbdCommand.WriteZeroes)]
    [InlineData(NbdCommand.Trim)]
    public async Task A_long_range_is_given_up_when_the_server_ends(NbdCommand command)
    {
        var node = new SlowNode(1L << 48);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Extended);
        var cookie = client.SendRequest(command, 0, 1UL << 48);
        Assert.True(SpinWait.SpinUntil(() => node.Requests > 2, 20_000));
        var watch = Stopwatch.StartNew();
        await disk.Server.DisposeAsync();
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), watch.Elapsed.ToString());
        var reply = new RawReply(cookie, 0, 0);
        Assert.True(client.ReadChunk(reply));
        Assert.Equal(NbdError.Shutdown, reply.Error);
    }

    /// <summary>A client for which the system has no thread is sent away; the next ones are served.</summary>
    [Fact]
    public async Task A_client_without_a_thread_is_sent_away_and_the_server_goes_on()
    {
        var content = new byte[4096];
        var edge = new BlockEdge(new Byre.Storage.MemoryNode(content), ChildRole.None, EdgeTests.Everything);
        var log = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var left = 2;
        var server = new NbdServer(new NbdServerOptions { Log = log.Enqueue }, work =>
        {
            if (Interlocked.Decrement(ref left) >= 0)
            {
                throw new InsufficientMemoryException();
            }

            new Thread(work) { IsBackground = true }.Start();
        });
        server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "disk" }, edge));
        for (var i = 0; i < 4; i++)
        {
            var (mine, theirs) = Byre.Nbd.Transport.SocketChannel.CreatePair();
            using var client = new RawClient(mine);
            server.Accept(theirs);
            if (i < 2)
            {
                client.Greet();
                client.ExpectEnd();
                continue;
            }

            client.Greet();
            client.Enter("disk", NbdHeaderStyle.Simple);
            Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 512).Error);
        }

        Assert.Equal(2, log.Count(line => line.Contains("no thread", StringComparison.Ordinal)));
        await server.DisposeAsync();
        Assert.Equal(0, server.ConnectionCount);
        await edge.DisposeAsync();
    }

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, [In, Out] long[] limit);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, [In] long[] limit);

    /// <summary>Zeroes and discards take a millisecond a GiB, in the calling thread.</summary>
    private sealed class SlowNode(long length) : BlockNode
    {
        private int requests;

        public override string DriverName => "slow";

        public override long Length => length;

        public int Requests => Volatile.Read(ref requests);

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => default;

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => default;

        public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
        {
            Take(length);
            return new(true);
        }

        public override ValueTask DiscardAsync(long offset, long length)
        {
            Take(length);
            return default;
        }

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => throw new NotSupportedException();

        private void Take(long length)
        {
            Interlocked.Increment(ref requests);
            Thread.Sleep((int)Math.Max(1, length >> 30));
        }
    }
}
