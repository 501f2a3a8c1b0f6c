using System.Diagnostics;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Client;

public sealed class ReconnectTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(false, NbdTransmissionFlags.None)]
    [InlineData(true, NbdTransmissionFlags.None)]
    [InlineData(false, NbdTransmissionFlags.CanMultiConn)]
    [InlineData(true, NbdTransmissionFlags.CanMultiConn)]
    public async Task What_was_not_answered_is_sent_again_and_nobody_notices(bool blocking, NbdTransmissionFlags flags)
    {
        var disk = NbdNodeTests.RandomBytes(4 << 20);
        var model = disk.ToArray();
        using var server = new FakeServer((index, peer) =>
        {
            // Each connection is lost after a while, with requests in flight.
            peer.Handshake(NbdHeaderStyle.Extended, size: (ulong)disk.Length, flags: FakePeer.DefaultFlags | flags);
            peer.Serve(disk, most: 30 + index);
            peer.Dispose();
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long, Blocking = blocking });
        await using (var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything))
        {
            await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(async () =>
            {
                var random = new Random(worker);
                var start = worker << 19;
                for (var i = 0; i < 60; i++)
                {
                    var at = start + random.Next(1 << 18);
                    var bytes = new byte[random.Next(1, 1 << 16)];
                    if (random.Next(2) == 0)
                    {
                        random.NextBytes(bytes);
                        bytes.CopyTo(model, at);
                        await edge.WriteAsync(at, bytes);
                    }
                    else
                    {
                        await edge.ReadAsync(at, bytes);
                        Assert.Equal(model[at..(at + bytes.Length)], bytes);
                    }
                }
            })));
            await edge.FlushAsync();
        }

        Assert.Equal(model, disk);
        Assert.True(server.Connections > 8, $"{server.Connections} connections");
    }

    [Fact]
    public async Task Without_a_delay_what_is_in_flight_fails_at_once_and_later_requests_connect_again()
    {
        var disk = NbdNodeTests.RandomBytes(1 << 20);
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake();
            if (index == 0)
            {
                peer.ReadRequest();
                peer.Dispose();
            }

            peer.Serve(disk);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var lost = await Assert.ThrowsAsync<BlockException>(() => edge.ReadAsync(0, new byte[512]).AsTask());
        Assert.Equal((ErrorCode.Disconnected, 5), (lost.Code, lost.Errno));
        var bytes = new byte[512];
        await edge.ReadAsync(512, bytes);
        Assert.Equal(disk[512..1024], bytes);
        Assert.Equal(2, server.Connections);
    }

    [Fact]
    public async Task A_lost_connection_moves_its_requests_to_those_that_live()
    {
        var disk = NbdNodeTests.RandomBytes(4 << 20);
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(size: (ulong)disk.Length, flags: FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn);
            peer.Serve(disk, index == 0 ? -1 : 2);
            peer.Dispose();
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var bytes = new byte[disk.Length];
        for (var i = 0; i < 200 && server.Connections < 5; i++)
        {
            await edge.ReadAsync(0, bytes);
            Assert.Equal(disk, bytes);
        }

        Assert.True(server.Connections > 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task When_the_delay_is_over_everything_fails(bool blocking)
    {
        NbdNode node;
        using (var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.ReadRequest();
            peer.WaitForEnd();
        }))
        {
            node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = TimeSpan.FromSeconds(1), Blocking = blocking });
            var read = Task.Run(async () => await node.ReadAsync(0, new byte[512]));
            await Task.Delay(100);
            server.Dispose();
            var watch = Stopwatch.StartNew();
            Assert.Equal(ErrorCode.Disconnected, (await Assert.ThrowsAsync<BlockException>(() => read)).Code);
            Assert.InRange(watch.Elapsed, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(20));
            watch.Restart();
            await Assert.ThrowsAsync<BlockException>(async () => await node.ReadAsync(0, new byte[512]));
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"a later request waits no more, and took {watch.Elapsed}");
        }

        await node.DisposeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_node_can_be_closed_twice(bool blocking)
    {
        using var server = new FakeServer(peer => peer.Handshake());
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Blocking = blocking });
        await node.DisposeAsync();
        await node.DisposeAsync();
    }

    [Fact]
    public async Task Closing_ends_the_wait_for_a_server_that_is_gone()
    {
        NbdNode node;
        using (var server = new FakeServer(peer => peer.Handshake()))
        {
            node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = TimeSpan.FromHours(1) });
        }

        var reads = Enumerable.Range(0, 10).Select(i => node.ReadAsync(i * 512, new byte[512]).AsTask()).ToList();
        await Task.Delay(100);
        await node.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        foreach (var read in reads)
        {
            await Assert.ThrowsAsync<BlockException>(() => read);
        }
    }

    [Theory]
    [InlineData(2UL << 20, FakePeer.DefaultFlags, "bytes instead of")]
    [InlineData(FakePeer.DefaultSize, FakePeer.DefaultFlags | NbdTransmissionFlags.ReadOnly, "read-only")]
    [InlineData(FakePeer.DefaultSize, NbdTransmissionFlags.HasFlags, "can do less")]
    public async Task Another_export_under_the_same_name_is_not_written(ulong size, NbdTransmissionFlags flags, string says)
    {
        using var server = new FakeServer((index, peer) =>
        {
            if (index == 0)
            {
                peer.Handshake();
                peer.ReadRequest();
                peer.Dispose();
            }

            peer.Handshake(size: size, flags: flags);
            peer.Serve(new byte[1 << 20]);
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        var e = await Assert.ThrowsAsync<BlockException>(() => node.WriteAsync(0, new byte[512], WriteFlags.None).AsTask().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Contains(says, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_request_that_ends_every_connection_fails_after_some()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.ReadRequest();
            peer.Dispose();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        var e = await Assert.ThrowsAsync<BlockException>(() => node.ReadAsync(0, new byte[512]).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(ErrorCode.Disconnected, e.Code);
        Assert.InRange(server.Connections, 2, 20);
    }

    [Fact]
    public async Task Opening_tries_again_as_long_as_it_is_told_to()
    {
        var path = Path.Combine(Path.GetTempPath(), "byre-late-" + Guid.NewGuid().ToString("N"));
        var client = new NbdClientOptions { Address = Byre.Nbd.NbdAddress.Unix(path) };
        var opening = NbdNode.OpenAsync(new NbdNodeOptions { Client = client, OpenTimeout = Long });
        await Task.Delay(200);
        Assert.False(opening.IsCompleted);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.WaitForEnd();
        });
        File.CreateSymbolicLink(path, server.Address.SocketPath!);
        await (await opening.WaitAsync(TimeSpan.FromSeconds(30))).DisposeAsync();
        File.Delete(path);
        var watch = Stopwatch.StartNew();
        await Assert.ThrowsAsync<BlockException>(() => NbdNode.OpenAsync(new NbdNodeOptions { Client = client, OpenTimeout = TimeSpan.FromSeconds(0.3) }));
        Assert.InRange(watch.Elapsed, TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(10));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task No_request_is_forgotten_where_each_tries_to_connect_in_vain(bool blocking)
    {
        NbdNode node;
        using (var server = new FakeServer(peer => peer.Handshake()))
        {
            node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Blocking = blocking });
        }

        // One that comes while the last attempt is ending must begin another one.
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            var bytes = new byte[512];
            for (var i = 0; i < 500; i++)
            {
                await Assert.ThrowsAsync<BlockException>(async () => await node.ReadAsync(0, bytes));
            }
        }))).WaitAsync(TimeSpan.FromMinutes(2));
        await node.DisposeAsync();
    }

    [Fact]
    public async Task A_server_that_no_longer_keeps_its_connections_in_step_is_another_one()
    {
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(flags: index == 0 ? FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn : FakePeer.DefaultFlags);
            peer.ReadRequest();
            peer.Dispose();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        var e = await Assert.ThrowsAsync<BlockException>(() => node.ReadAsync(0, new byte[512]).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Contains("can do less", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(60, true)]
    public async Task A_change_that_may_have_reached_the_server_is_sent_again_only_where_that_was_asked_for(int delay, bool again)
    {
        var disk = new byte[1 << 20];
        using var lose = new ManualResetEventSlim();
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn);
            if (index == 0)
            {
                // It holds on to what it is sent, until it leaves with all of it.
                peer.ReadRequest();
                lose.Wait(TimeSpan.FromSeconds(20));
                peer.Dispose();
            }

            peer.Serve(disk);
        });
        await using var node = await NbdNode.OpenAsync(
            new NbdNodeOptions { Client = server.Options, Connections = 2, ReconnectDelay = TimeSpan.FromSeconds(delay) });
        var write = node.WriteAsync(0, new byte[] { 1 }, WriteFlags.None).AsTask();
        for (var i = 0; i < 2000 && node.ConnectionCount < 2; i++)
        {
            await Task.WhenAny(node.ReadAsync(512, new byte[512]).AsTask(), Task.Delay(10));
        }

        Assert.Equal(2, node.ConnectionCount);
        lose.Set();
        if (again)
        {
            await write.WaitAsync(TimeSpan.FromSeconds(30));
        }
        else
        {
            await Assert.ThrowsAsync<BlockException>(() => write.WaitAsync(TimeSpan.FromSeconds(30)));
        }

        Assert.Equal(again ? 1 : 0, disk[0]);
        await node.ReadAsync(512, new byte[512]);
    }
}
