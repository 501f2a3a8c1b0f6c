using System.Buffers;
using Byre.Bitmaps;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nbd.Transport;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Server;

/// <summary>The memory that all clients share, and what becomes of requests where it is used up.</summary>
[Collection(nameof(HostileClientTests))]
public class BudgetTests
{
    private static readonly NbdServerOptions Nothing = new() { MaxTotalInFlightBytes = 0 };

    public static TheoryData<NbdHeaderStyle> Styles => [NbdHeaderStyle.Simple, NbdHeaderStyle.Structured, NbdHeaderStyle.Extended];

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Long_transfers_go_in_pieces_where_no_memory_is_left(NbdHeaderStyle style)
    {
        const int Size = 3 << 20;
        await using var disk = new ServedDisk(Nothing, length: Size);
        var client = disk.Use(style);
        var random = new Random(3);
        foreach (var length in (int[])[65537, 256 << 10, (256 << 10) + 1, 1_000_003, Size])
        {
            var offset = random.Next(Size - length + 1);
            var written = new byte[length];
            random.NextBytes(written);
            Assert.Equal(NbdError.None, client.WriteData((ulong)offset, written, length % 2 == 0 ? NbdCommandFlags.Fua : 0).Error);
            written.CopyTo(disk.Content, offset);
            foreach (var flags in style == NbdHeaderStyle.Simple ? [NbdCommandFlags.None] : (NbdCommandFlags[])[NbdCommandFlags.None, NbdCommandFlags.DontFragment])
            {
                var reply = client.Request(NbdCommand.Read, (ulong)offset, (ulong)length, flags);
                Assert.Equal(NbdError.None, reply.Error);
                Assert.True(reply.Data.AsSpan().SequenceEqual(written), $"{length} {flags}");
            }
        }

        Assert.Equal(disk.Content[..512], client.Request(NbdCommand.Read, 0, 512).Data);
        Assert.Equal(NbdError.NoSpace, client.WriteData(Size - 100_000, new byte[100_001]).Error);
        Assert.Equal(disk.Content[^512..], client.Request(NbdCommand.Read, Size - 512, 512).Data);
        Assert.Equal(0, disk.Server.Budget.Used);
    }

    [Fact]
    public async Task A_durable_write_in_pieces_is_durable()
    {
        var node = new ModelNode(new byte[1 << 20], BlockLimits.Default);
        await using var disk = new ServedDisk(node, Nothing);
        var client = disk.Use(NbdHeaderStyle.Structured);
        client.WriteData(0, new byte[600_000]);
        Assert.DoesNotContain("sync", node.TakeLog(), StringComparison.Ordinal);
        client.WriteData(0, new byte[600_000], NbdCommandFlags.Fua);
        Assert.EndsWith("sync", node.TakeLog(), StringComparison.Ordinal);
    }

    /// <summary>A failure on the way is told where the reply has room for it; else the connection ends, and nobody takes wrong data for right.</summary>
    [Theory]
    [InlineData(NbdHeaderStyle.Simple, false)]
    [InlineData(NbdHeaderStyle.Structured, false)]
    [InlineData(NbdHeaderStyle.Structured, true)]
    [InlineData(NbdHeaderStyle.Extended, false)]
    public async Task A_read_that_fails_on_the_way_is_told_or_ends_the_connection(NbdHeaderStyle style, bool isWhole)
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, Nothing);
        var client = disk.Use(style);
        var cookie = client.SendRequest(NbdCommand.Read, 0, 600_000, isWhole ? NbdCommandFlags.DontFragment : 0);
        Complete(node, null);
        Complete(node, new BlockException(ErrorCode.Io, "broken"));
        if (style == NbdHeaderStyle.Simple || isWhole)
        {
            client.Read((style == NbdHeaderStyle.Simple ? 16 : 28) + PiecewiseTransfers.Piece);
            client.ExpectEnd();
            return;
        }

        var reply = new RawReply(cookie, 0, 600_000);
        Assert.False(client.ReadChunk(reply));
        Assert.True(client.ReadChunk(reply));
        Assert.Equal(NbdError.Io, reply.Error);
        cookie = client.SendRequest(NbdCommand.Read, 0, 600_000);
        Complete(node, new BlockException(ErrorCode.Io, "broken"));
        reply = new RawReply(cookie, 0, 600_000);
        Assert.True(client.ReadChunk(reply));
        Assert.Equal(NbdError.Io, reply.Error);
    }

    [Fact]
    public async Task A_write_that_fails_on_the_way_takes_its_whole_payload()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, Nothing);
        var client = disk.Use(NbdHeaderStyle.Simple);
        var sending = Task.Run(() => client.SendRequest(NbdCommand.Write, 0, 900_000, 0, new byte[900_000])); // the server takes it bit by bit
        Complete(node, null);
        Complete(node, new BlockException(ErrorCode.NoSpace, "full"));
        var cookie = await sending;
        var reply = new RawReply(cookie, 0, 0);
        Assert.True(client.ReadChunk(reply));
        Assert.Equal(NbdError.NoSpace, reply.Error);
        Assert.Empty(node.InFlight);
        Assert.Equal(NbdError.Invalid, client.Request((NbdCommand)77, 0, 0).Error); // the stream is still understood
    }

    /// <summary>However many clients want as much as they can: what they hold together is bounded, and a good client is served meanwhile.</summary>
    [Theory]
    [InlineData(NbdCommand.Read)]
    [InlineData(NbdCommand.Write)]
    public async Task Many_greedy_clients_hold_no_more_than_all_of_them_may(NbdCommand command)
    {
        const int Clients = 40, Length = 32 << 20;
        const long Limit = 64 << 20;
        await using var disk = new ServedDisk(new NbdServerOptions { MaxTotalInFlightBytes = Limit }, length: Length + 512);
        GC.Collect();
        var before = Environment.WorkingSet;
        for (var i = 0; i < Clients; i++)
        {
            // Replies of 32 MiB that nobody reads, or writes of 32 MiB of which the last byte never comes.
            var client = disk.Use(NbdHeaderStyle.Structured);
            if (command == NbdCommand.Read)
            {
                client.SendRequest(command, 0, Length, NbdCommandFlags.DontFragment);
                continue;
            }

            client.SendRequest(command, 0, Length);
            client.Send(disk.Content.AsSpan(0, Length - 1));
        }

        Thread.Sleep(500);
        var used = Environment.WorkingSet - before;
        Assert.True(disk.Server.Budget.Used <= Limit, $"{disk.Server.Budget.Used >> 20} MiB are taken");
        Assert.True(used < Limit + (Clients * (2L << 20)) + (64 << 20), $"{used >> 20} MiB");

        var good = disk.Use(NbdHeaderStyle.Simple);
        Assert.Equal(NbdError.None, good.WriteData(Length - 200_000, new byte[200_000]).Error);
        Assert.True(good.Request(NbdCommand.Read, 0, 1 << 20).Data.AsSpan().SequenceEqual(disk.Content.AsSpan(0, 1 << 20)));
        disk.DropClients(exceptFor: good);
        Assert.True(SpinWait.SpinUntil(() => disk.Server.ConnectionCount == 1, 20_000));
        Assert.True(SpinWait.SpinUntil(() => disk.Server.Budget.Used == 0, 20_000), $"{disk.Server.Budget.Used} bytes are never given back");
    }

    /// <summary>A client's memory in flight is counted for all: where it is used up, others have one request in flight.</summary>
    [Fact]
    public async Task Where_the_memory_is_used_up_each_client_has_one_request_in_flight()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, new NbdServerOptions { MaxTotalInFlightBytes = 10_000 });
        var clients = Enumerable.Range(0, 3).Select(_ => disk.Use(NbdHeaderStyle.Simple)).ToArray();
        foreach (var client in clients)
        {
            for (var i = 0; i < 10; i++)
            {
                client.SendRequest(NbdCommand.Read, 0, 4096);
            }

            Thread.Sleep(100);
        }

        Assert.Equal(3 + 1 + 1, node.InFlight.Count); // three fill it up
        for (var left = 30; left > 0; left--)
        {
            Complete(node, null);
        }

        foreach (var client in clients)
        {
            client.Read(10 * (16 + 4096));
        }

        Assert.True(SpinWait.SpinUntil(() => disk.Server.Budget.Used == 0, 20_000));
    }

    /// <summary>An answer about 200,000 extents holds as many as all contexts together may have, and few where no memory is left.</summary>
    [Theory]
    [InlineData(1L << 30, 1, 128 << 10)]
    [InlineData(1L << 30, 2, 64 << 10)]
    [InlineData(0L, 1, 2 << 10)]
    [InlineData(0L, 2, 1 << 10)]
    public async Task Answers_about_many_extents_are_bounded(long budget, int contexts, int most)
    {
        const int Extents = 200_000, Size = Extents * 512;
        var names = Enumerable.Range(0, contexts).Select(i => "b" + i).ToArray();
        var bitmaps = names.Select(name => new DirtyBitmap(name, Size, 512)).ToArray();
        for (var i = 0L; i < Extents; i += 2)
        {
            Array.ForEach(bitmaps, bitmap => bitmap.Set(i * 512, 512));
        }

        await using var disk = new ServedDisk(
            new MemoryNode(Size), new NbdServerOptions { MaxTotalInFlightBytes = budget }, o => o with { Bitmaps = bitmaps });
        var client = disk.Use(NbdHeaderStyle.Extended, [.. names.Select(name => "qemu:dirty-bitmap:" + name)]);
        var reply = client.Request(NbdCommand.BlockStatus, 0, Size);
        Assert.Equal(contexts, reply.Status.Count);
        Assert.All(reply.Status.Values, extents => Assert.Equal(most, extents.Count));
    }

    [Fact]
    public void What_was_taken_of_the_memory_goes_back_once()
    {
        var budget = new MemoryBudget(1000);
        budget.Take(300);
        var lease = budget.TryLease(700)!.Rent(700);
        Assert.True(budget.IsExhausted);
        Assert.Null(budget.TryLease(1));
        Assert.Equal(1000, budget.Used);
        lease.Dispose();
        lease.Dispose();
        Assert.Equal(300, budget.Used);
    }

    /// <summary>The buffer of a reply that can no longer be sent goes back, also where it was in nobody's hands.</summary>
    [Theory]
    [InlineData(NbdHeaderStyle.Simple)]
    [InlineData(NbdHeaderStyle.Structured)]
    public async Task A_reply_that_cannot_be_sent_gives_its_buffer_back(NbdHeaderStyle style)
    {
        var edge = new BlockEdge(new MemoryNode(new byte[1 << 20]), ChildRole.None, EdgeTests.Everything);
        var export = new NbdExport(new NbdExportOptions { Name = "disk" }, edge);
        var (mine, theirs) = SocketChannel.CreatePair();
        theirs.Dispose();
        var budget = new MemoryBudget(1 << 30);
        var failures = new RequestFailures("disk", null);
        var replies = new ReplyQueue(mine);
        var inFlight = new InFlightRequests(8, 1 << 20, budget, failures);
        var pieces = new PiecewiseTransfers(export, style, mine, new ReceiveBuffer(), replies, failures);
        var runner = new RequestRunner(export, style, null, replies, inFlight, budget, pieces, failures, 32 << 20);

        // The reply buffer is filled until not even the head of a reply fits.
        var head = ReplyFrames.ReadHeadSize(style);
        const int Room = 256 << 10;
        for (var left = Room; left > 5;)
        {
            var length = Math.Min(60_000, left - head - (left - head > 60_000 ? 100 : 5));
            runner.Run(new NbdRequestHeader(0, NbdCommand.Read, 1, 0, (ulong)length), []);
            left -= head + length;
        }

        var payload = new TrackedBuffer();
        var request = new PendingRequest { Header = new NbdRequestHeader(0, NbdCommand.Read, 1, 0, 100_000), Payload = payload };
        Assert.Throws<IOException>(() => runner.Deliver(request));
        Assert.Equal(1, payload.Disposals);
        replies.Release();
        mine.Dispose();
        await edge.DisposeAsync();
    }

    private static void Complete(GatedNode node, Exception? failure)
    {
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count > 0, 20_000));
        node.Complete(node.InFlight[0], failure);
    }

    private sealed class TrackedBuffer : IMemoryOwner<byte>
    {
        public int Disposals { get; private set; }

        public Memory<byte> Memory { get; } = new byte[100_000];

        public void Dispose() => Disposals++;
    }
}
