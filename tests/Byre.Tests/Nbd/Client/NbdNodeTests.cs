using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Client;

public sealed class NbdNodeTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Long_requests_are_parted_and_go_over_several_connections(bool blocking)
    {
        var disk = RandomBytes(16 << 20);
        using var server = Multi(disk);
        var node = await NbdNode.OpenAsync(new NbdNodeOptions
        {
            Client = server.Options with { MaxInFlight = blocking ? 2 : 128 },
            Blocking = blocking,
        });
        await using (var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything))
        {
            Assert.Equal(1, node.ConnectionCount);
            var bytes = new byte[disk.Length];
            for (var i = 0; i < 100 && node.ConnectionCount < 4; i++)
            {
                if (blocking)
                {
                    ReadOnThreads(edge, bytes);
                }
                else
                {
                    await edge.ReadAsync(0, bytes);
                }

                Assert.Equal(disk, bytes);
            }

            Assert.Equal(4, node.ConnectionCount);
            var data = RandomBytes((5 << 20) + 3);
            await edge.WriteAsync(12345, data, WriteFlags.Fua);
            await edge.FlushAsync();
            Assert.Equal(data, disk[12345..(12345 + data.Length)]);
        }

        Assert.Equal(4, server.Connections);
    }

    [Fact]
    public async Task A_node_can_be_closed_while_a_further_connection_is_made()
    {
        var disk = RandomBytes(1 << 20);
        using var server = Multi(disk);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            for (var i = 0; i < 60; i++)
            {
                var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
                await node.ReadAsync(0, new byte[disk.Length]);
                await node.DisposeAsync();
            }
        })));
    }

    [Theory]
    [InlineData(NbdTransmissionFlags.None, null, 1)]
    [InlineData(NbdTransmissionFlags.ReadOnly, null, 1)]
    [InlineData(NbdTransmissionFlags.ReadOnly, 3, 3)]
    [InlineData(NbdTransmissionFlags.None, 3, 1)]
    [InlineData(NbdTransmissionFlags.CanMultiConn, 2, 2)]
    [InlineData(NbdTransmissionFlags.CanMultiConn, 1, 1)]
    public async Task There_are_as_many_connections_as_the_server_and_the_user_allow(NbdTransmissionFlags flags, int? wanted, int most)
    {
        var disk = RandomBytes(4 << 20);
        using var server = Multi(disk, FakePeer.DefaultFlags | flags);
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Connections = wanted, ReadOnly = true });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var bytes = new byte[disk.Length];
        for (var i = 0; i < 20 || (i < 200 && node.ConnectionCount < most); i++)
        {
            await edge.ReadAsync(0, bytes);
        }

        Assert.Equal(most, node.ConnectionCount);
    }

    [Fact]
    public async Task A_further_connection_that_hangs_or_is_refused_holds_nothing_up()
    {
        var disk = RandomBytes(4 << 20);
        using var server = new FakeServer((index, peer) =>
        {
            if (index > 0)
            {
                peer.WaitForEnd();
                return;
            }

            peer.Handshake(size: (ulong)disk.Length, flags: FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn);
            peer.Serve(disk);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var bytes = new byte[disk.Length];
        for (var i = 0; i < 10; i++)
        {
            await edge.ReadAsync(0, bytes);
            Assert.Equal(disk, bytes);
        }

        Assert.Equal(1, node.ConnectionCount);
    }

    [Fact]
    public async Task Requests_keep_to_the_sizes_the_server_wants()
    {
        var disk = RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(block: new NbdBlockSize(4096, 8192, 65536));
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.Disconnect)
                {
                    return;
                }

                var fits = request.Offset % 4096 == 0 && request.Length % 4096 == 0 && (request.Command == NbdCommand.WriteZeroes || request.Length <= 65536);
                if (!fits || request.Command == NbdCommand.Write)
                {
                    peer.Error(request, NbdError.Invalid);
                }
                else if (request.Command == NbdCommand.Read)
                {
                    peer.Data(request, request.Offset, disk[(int)request.Offset..(int)(request.Offset + request.Length)]);
                }
                else
                {
                    peer.Done(request);
                }
            }
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var bytes = new byte[700_001];
        await edge.ReadAsync(77, bytes);
        Assert.Equal(disk[77..(77 + bytes.Length)], bytes);
        await edge.WriteZeroesAsync(4096, 1 << 19);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(NbdInitialState.Sparse)]
    public async Task Nothing_is_known_to_be_zero_where_the_server_does_not_say_so(NbdInitialState? initial)
    {
        var disk = RandomBytes(1 << 20);
        using var server = new FakeServer((_, peer) =>
        {
            peer.Handshake(size: (ulong)disk.Length, initial: initial);
            peer.Serve(disk);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        Assert.False(node.WasZero);
    }

    [Fact]
    public async Task An_export_that_was_zero_is_known_to_be_until_it_is_written()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(initial: NbdInitialState.Zero);
            peer.Serve(new byte[1 << 20]);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        Assert.True(node.WasZero);
        await edge.WriteZeroesAsync(0, 4096);
        Assert.True(node.WasZero);
        await edge.WriteAsync(0, new byte[1]);
        Assert.False(node.WasZero);
    }

    [Fact]
    public async Task Zeroes_that_the_server_refuses_are_written_as_data()
    {
        var disk = RandomBytes(1 << 20);
        var asked = 0;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple);
            while (true)
            {
                var (request, data) = peer.ReadRequest();
                if (request.Command == NbdCommand.WriteZeroes)
                {
                    asked++;
                    peer.Simple(request, NbdError.Invalid);
                    continue;
                }

                data.CopyTo(disk, (int)request.Offset);
                peer.Simple(request);
            }
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteZeroesAsync(1024, 4096);
        await edge.WriteZeroesAsync(8192, 4096);
        Assert.Equal(new byte[4096], disk[1024..5120]);
        Assert.Equal(new byte[4096], disk[8192..12288]);
        Assert.Equal(1, asked);
        Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => edge.WriteZeroesAsync(0, 512, WriteFlags.NoFallback).AsTask())).Code);
    }

    [Fact]
    public async Task Zeroes_and_discards_that_are_too_long_for_the_server_go_in_pieces()
    {
        var lengths = new List<(NbdCommand, ulong)>();
        const ulong size = 200UL << 20;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple, size: size);
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                lengths.Add((request.Command, request.Length));
                peer.Simple(request, request.Length > 32 << 20 ? NbdError.Overflow : NbdError.None);
            }
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteZeroesAsync(0, (long)size, WriteFlags.MayUnmap);
        await edge.DiscardAsync(0, (long)size);
        Assert.Equal(size, lengths.Where(l => l.Item1 == NbdCommand.WriteZeroes && l.Item2 <= 32 << 20).Aggregate(0UL, (sum, l) => sum + l.Item2));
        Assert.Equal(size, lengths.Where(l => l.Item1 == NbdCommand.Trim && l.Item2 <= 32 << 20).Aggregate(0UL, (sum, l) => sum + l.Item2));
    }

    [Fact]
    public async Task Nothing_is_asked_twice_on_a_walk_and_a_write_is_seen()
    {
        var asked = 0;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.BlockStatus)
                {
                    asked++;
                    var left = (request.Length + 4095) / 4096;
                    peer.Status(request, 7, [.. Enumerable.Range(0, (int)left).Select(i => (4096UL, (ulong)(i % 2 * 3)))]);
                }
                else
                {
                    peer.Done(request);
                }
            }
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var extents = new ExtentList();
        var count = 0;
        for (long at = 0; at < 1 << 20; at = extents.End)
        {
            extents.Reset(at, Math.Min(100_000, (1 << 20) - at), limit: 7);
            await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
            Assert.True(extents.End > at);
            count += extents.Count;
        }

        Assert.InRange(count, 256, 300);
        Assert.InRange(asked, 1, 5); // of 37: what is remembered lasts for a tenth of a second, and the machine may be slow
        var before = asked;
        extents.Reset(0, 8192);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(before + 1, asked);
        await edge.WriteAsync(8192, new byte[1]);
        extents.Reset(8192, 8192);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(before + 2, asked);
        Assert.Equal(new BlockExtent(8192, 4096, ExtentState.Data, ExtentFlags.None, 8192, node, 1), extents.Items[0]);
        Assert.Equal(new BlockExtent(12288, 4096, ExtentState.Zero, ExtentFlags.Hole, 12288, node, 1), extents.Items[1]);
    }

    /// <summary>A failure that is there before anybody has looked must not pass for a success: the edge would count it for ever.</summary>
    [Fact]
    public async Task A_request_that_has_failed_already_says_so()
    {
        var request = new NbdRequest(null).Set(NbdCommand.Read, NbdCommandFlags.None, 0, 1);
        request.Fail(new BlockException(ErrorCode.Io, "gone"));
        var task = request.AsValueTask();
        Assert.True(task.IsFaulted);
        Assert.False(task.IsCompletedSuccessfully);
        await Assert.ThrowsAsync<BlockException>(() => task.AsTask());
    }

    [Fact]
    public async Task Without_contexts_everything_is_data()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple);
            peer.Serve(new byte[1 << 20]);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var extents = new ExtentList();
        extents.Reset(512, 1024);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(new BlockExtent(512, 1024, ExtentState.Data, ExtentFlags.None, 512, node, 1), Assert.Single(extents.Items.ToArray()));
        Assert.Equal(512, node.Limits.RequestAlignment);
    }

    internal static byte[] RandomBytes(int count)
    {
        var bytes = new byte[count];
        new Random(count).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Callers that wait bring their own threads, more of them than there are connections.</summary>
    private static void ReadOnThreads(BlockEdge edge, byte[] bytes)
    {
        const int count = 16;
        var failures = new System.Collections.Concurrent.ConcurrentQueue<Exception>();
        var threads = new Thread[count];
        for (var i = 0; i < count; i++)
        {
            var part = bytes.AsMemory(i * (bytes.Length / count), bytes.Length / count);
            var offset = i * (bytes.Length / count);
            threads[i] = new Thread(() =>
            {
                try
                {
                    for (var at = 0; at < part.Length; at += 64 << 10)
                    {
                        var read = edge.ReadAsync(offset + at, part.Slice(at, Math.Min(64 << 10, part.Length - at)));
                        Assert.True(read.IsCompleted);
                        read.GetAwaiter().GetResult();
                    }
                }
                catch (Exception e)
                {
                    failures.Enqueue(e);
                }
            });
            threads[i].Start();
        }

        foreach (var thread in threads)
        {
            thread.Join();
        }

        Assert.Empty(failures);
    }

    private static FakeServer Multi(byte[] disk, NbdTransmissionFlags flags = FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn) => new(peer =>
    {
        peer.Handshake(NbdHeaderStyle.Extended, size: (ulong)disk.Length, flags: flags);
        peer.Serve(disk);
    });
}
