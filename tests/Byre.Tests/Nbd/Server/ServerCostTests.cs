using System.Buffers.Binary;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Server;

/// <summary>What connections cost; nothing else of the tests runs meanwhile.</summary>
[Collection(nameof(HostileClientTests))]
public class ServerCostTests
{
    [Theory]
    [InlineData(NbdCommand.Read, NbdHeaderStyle.Simple)]
    [InlineData(NbdCommand.Read, NbdHeaderStyle.Extended)]
    [InlineData(NbdCommand.Write, NbdHeaderStyle.Simple)]
    public async Task A_short_request_that_completes_at_once_allocates_nothing(NbdCommand command, NbdHeaderStyle style)
    {
        const int Requests = 20_000;
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        var request = client.RequestBytes(command, 4096, 4096, 0, command == NbdCommand.Write ? new byte[4096] : [], 1);
        var reply = new byte[ReplySize()];
        Exchange(2000);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        Exchange(Requests);
        var each = (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Requests;
        Assert.True(each < 8, $"{each} bytes a request");

        int ReplySize() => command == NbdCommand.Write ? 16 : style == NbdHeaderStyle.Simple ? 16 + 4096 : 40 + 4096;

        void Exchange(int count)
        {
            for (var i = 0; i < count; i++)
            {
                BinaryPrimitives.WriteInt64BigEndian(request.AsSpan(8), i);
                client.Channel.Send(request);
                Assert.True(client.Channel.ReceiveAll(reply));
            }
        }
    }

    /// <summary>A thread that has been woken waits for the next request asleep.</summary>
    [Fact]
    public async Task A_connection_that_waits_for_the_image_uses_no_processor()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.SendRequest(NbdCommand.Read, 0, 512);
        client.SendRequest(NbdCommand.Read, 512, 512);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 2, 20_000));
        node.Complete(node.InFlight[0]);
        client.Read(16 + 512);
        var before = Environment.CpuUsage.TotalTime;
        Thread.Sleep(1500);
        var used = Environment.CpuUsage.TotalTime - before;
        node.CompleteAll();
        client.Read(16 + 512);
        Assert.True(used < TimeSpan.FromMilliseconds(700), used.ToString());
    }

    /// <summary>Sockets are closed when their clients have gone, not when the collector comes.</summary>
    [Fact]
    public async Task Clients_that_have_gone_leave_no_descriptors()
    {
        await using var disk = new ServedDisk();
        using (disk.Use(NbdHeaderStyle.Simple))
        {
        }

        Assert.True(SpinWait.SpinUntil(() => disk.Server.ConnectionCount == 0, 20_000));
        var before = Directory.GetFiles("/proc/self/fd").Length;
        for (var i = 0; i < 100; i++)
        {
            using var client = i % 2 == 0 ? disk.Negotiate() : disk.Use(NbdHeaderStyle.Simple);
        }

        Assert.True(SpinWait.SpinUntil(() => disk.Server.ConnectionCount == 0, 20_000));
        var after = Directory.GetFiles("/proc/self/fd").Length;
        Assert.True(after < before + 50, $"{before} descriptors before, {after} afterwards");
    }

    /// <summary>A thousand clients that have used the export and rest cost less than 150 MiB in all, with the program itself.</summary>
    [Fact]
    public async Task A_thousand_idle_connections_are_cheap()
    {
        await using var disk = new ServedDisk();
        GC.Collect();
        var before = Environment.WorkingSet;
        var clients = new List<RawClient>();
        for (var i = 0; i < 1000; i++)
        {
            var client = disk.Use(NbdHeaderStyle.Structured);
            Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 4096).Error);
            clients.Add(client);
        }

        Thread.Sleep(2500);
        var used = Environment.WorkingSet - before;
        Assert.True(used < 110L << 20, $"{used >> 20} MiB");
        foreach (var client in clients)
        {
            Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 4096).Error);
        }
    }
}
