using Byre.Nodes;

namespace Byre.Tests.Requests;

public class EmulationTests
{
    [Fact]
    public async Task A_write_into_blocks_reads_them_first_and_says_so()
    {
        var node = new ModelNode(Filled(4096), new BlockLimits { RequestAlignment = 512 });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync(100, new byte[10]);
        Assert.Equal(
            "event PwritevRmwHead; event PwritevRmwTail; read 0+512; event PwritevRmwAfterHead; event PwritevRmwAfterTail; "
            + "event Pwritev; write 0+512; event PwritevDone", node.TakeLog(events: true));
        await edge.WriteAsync(100, new byte[1436]);
        Assert.Equal(
            "event PwritevRmwHead; read 0+512; event PwritevRmwAfterHead; event Pwritev; write 0+1536; event PwritevDone",
            node.TakeLog(events: true));
        await edge.WriteAsync(512, new byte[1000]);
        Assert.Equal(
            "event PwritevRmwTail; read 1024+512; event PwritevRmwAfterTail; event Pwritev; write 512+1024; event PwritevDone",
            node.TakeLog(events: true));
        await edge.WriteAsync(512, new byte[1024]);
        Assert.Equal("event Pwritev; write 512+1024; event PwritevDone", node.TakeLog(events: true));
    }

    [Fact]
    public async Task An_unaligned_end_of_the_node_is_no_fragment()
    {
        var node = new ModelNode(Filled(1000), new BlockLimits { RequestAlignment = 512 });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync(512, new byte[488]);
        Assert.Equal("write 512+488", node.TakeLog());
        await edge.WriteAsync(999, new byte[1]);
        Assert.Equal("read 512+488; write 512+488", node.TakeLog());
        await edge.ReadAsync(990, new byte[10]);
        Assert.Equal("read 512+488", node.TakeLog());
    }

    [Fact]
    public async Task Fua_becomes_a_flush_where_the_driver_does_not_do_it()
    {
        var node = new ModelNode(Filled(4096), new BlockLimits { MaxTransfer = 1024 });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync(0, new byte[2048], WriteFlags.Fua);
        Assert.Equal("write 0+1024; write 1024+1024; sync", node.TakeLog());
        node.Supported = WriteFlags.Fua;
        await edge.WriteAsync(0, new byte[2048], WriteFlags.Fua);
        Assert.Equal("write 0+1024 Fua; write 1024+1024 Fua", node.TakeLog());
        await edge.WriteZeroesAsync(0, 2048, WriteFlags.Fua);
        Assert.Equal("zero 0+2048; sync", node.TakeLog());
    }

    [Fact]
    public async Task Zeroes_are_written_where_nothing_better_works_unless_forbidden()
    {
        var node = new ModelNode(Filled(8192), new BlockLimits { MaxTransfer = 1024, RequestAlignment = 512 })
        {
            ZeroesWork = () => false,
        };
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteZeroesAsync(512, 2048, WriteFlags.MayUnmap);
        Assert.Equal("write 512+1024; write 1536+1024", node.TakeLog());
        await EdgeTests.Refused(() => edge.WriteZeroesAsync(512, 2048, WriteFlags.NoFallback), ErrorCode.NotSupported);
        Assert.Equal("", node.TakeLog());
        node.ZeroesWork = () => true;
        await EdgeTests.Refused(() => edge.WriteZeroesAsync(100, 2048, WriteFlags.NoFallback), ErrorCode.NotSupported);
        await edge.WriteZeroesAsync(512, 2048, WriteFlags.NoFallback);
        Assert.Equal("zero 512+2048", node.TakeLog());
        await edge.WriteZeroesAsync(100, 2048);
        Assert.Equal("read 0+512; write 0+512; zero 512+1536; read 2048+512; write 2048+512", node.TakeLog());
    }

    [Fact]
    public async Task Zeroes_and_discards_are_cut_at_units_and_limits()
    {
        var limits = new BlockLimits { WriteZeroesAlignment = 1000, MaxWriteZeroes = 2500, DiscardAlignment = 1000, MaxDiscard = 2500 };
        var node = new ModelNode(Filled(9500), limits);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteZeroesAsync(500, 5200);
        Assert.Equal("zero 500+500; zero 1000+2000; zero 3000+2000; zero 5000+700", node.TakeLog());
        await edge.WriteZeroesAsync(8000, 1500);
        Assert.Equal("zero 8000+1500", node.TakeLog());
        await edge.DiscardAsync(500, 5200);
        Assert.Equal("discard 1000+2000; discard 3000+2000", node.TakeLog());
        await edge.DiscardAsync(500, 1000);
        Assert.Equal("", node.TakeLog());
        await edge.DiscardAsync(8500, 1000);
        Assert.Equal("discard 9000+500", node.TakeLog());
    }

    [Fact]
    public async Task A_flush_without_a_write_before_it_does_nothing()
    {
        var node = new ModelNode(Filled(4096), BlockLimits.Default);
        await using var edge = new BlockEdge(new EdgeTests.PassNode(new(node, ChildRole.Primary, EdgeTests.Everything)), ChildRole.None, EdgeTests.Everything);
        await edge.FlushAsync();
        Assert.Equal("", node.TakeLog());
        await edge.WriteAsync(0, new byte[1]);
        await edge.FlushAsync();
        await edge.FlushAsync();
        Assert.Equal("write 0+1; sync", node.TakeLog());
        await edge.WriteZeroesAsync(0, 1);
        await edge.FlushAsync();
        await edge.DiscardAsync(0, 1);
        await edge.FlushAsync();
        Assert.Equal("write 0+1; sync", node.TakeLog());
    }

    [Fact]
    public async Task Flushes_that_come_during_one_share_the_next()
    {
        var node = new GatedNode(4096) { GatesSyncs = true };
        var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        async Task WriteOne()
        {
            var write = edge.WriteAsync(0, new byte[1]).AsTask();
            node.CompleteAll();
            await write;
        }

        await WriteOne();
        var first = edge.FlushAsync().AsTask();
        var request = Assert.Single(node.InFlight);
        var w = edge.WriteAsync(0, new byte[1]).AsTask();
        node.Complete(node.InFlight[1]);
        await w;
        var others = Enumerable.Range(0, 5).Select(_ => edge.FlushAsync().AsTask()).ToArray();
        Assert.Equal(1, node.Syncs);
        node.Complete(request, new BlockException(ErrorCode.Io, "no"));
        await Assert.ThrowsAsync<BlockException>(() => first);
        await EdgeTests.Until(() => node.InFlight.Count == 1);
        Assert.All(others, o => Assert.False(o.IsCompleted));
        node.CompleteAll();
        await Task.WhenAll(others);
        Assert.Equal(2, node.Syncs);
        await edge.FlushAsync();
        Assert.Equal(2, node.Syncs);
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_flush_that_failed_is_not_forgotten()
    {
        var node = new GatedNode(4096) { GatesSyncs = true };
        var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var write = edge.WriteAsync(0, new byte[1]).AsTask();
        node.CompleteAll();
        await write;
        var flush = edge.FlushAsync().AsTask();
        node.Complete(node.InFlight[0], new BlockException(ErrorCode.Io, "no"));
        await Assert.ThrowsAsync<BlockException>(() => flush);
        var closing = edge.DisposeAsync().AsTask();
        await EdgeTests.Until(() => node.InFlight.Count == 1);
        node.Complete(node.InFlight[0], new BlockException(ErrorCode.Io, "still not"));
        Assert.Equal("still not", (await Assert.ThrowsAsync<BlockException>(() => closing)).Message);
    }

    /// <summary>Random requests on nodes with odd wishes, against a plain array.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Random_requests_do_what_they_would_do_to_an_array(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 60; round++)
        {
            var block = new[] { 1, 2, 512, 4096 }[random.Next(4)];
            var limits = new BlockLimits
            {
                RequestAlignment = block,
                MaxTransfer = random.Next(3) == 0 ? int.MaxValue & ~0xffff : block * random.Next(1, 40),
                MemoryAlignment = new[] { 1, 1, 512, 4096 }[random.Next(4)],
                WriteZeroesAlignment = random.Next(2) == 0 ? 1 : block * (long)random.Next(1, 9),
                MaxWriteZeroes = random.Next(2) == 0 ? long.MaxValue : block * (long)random.Next(1, 50),
                DiscardAlignment = random.Next(2) == 0 ? 1 : block * (long)random.Next(1, 9),
                MaxDiscard = random.Next(2) == 0 ? long.MaxValue : block * (long)random.Next(8, 50),
            };
            var model = new byte[random.Next(1, random.Next(2) == 0 ? 3000 : 300_000)];
            random.NextBytes(model);
            var node = new ModelNode([.. model], limits)
            {
                Later = () => random.Next(3) == 0,
                ZeroesWork = () => random.Next(2) == 0,
                Supported = random.Next(2) == 0 ? WriteFlags.Fua : WriteFlags.None,
                Grows = random.Next(2) == 0,
            };
            await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
            for (var i = 0; i < 60; i++)
            {
                var offset = random.Next(model.Length);
                var length = random.Next(model.Length - offset + 1);
                length = random.Next(2) == 0 ? Math.Min(length, 700) : length;
                var flags = (WriteFlags)(random.Next(2) * (int)WriteFlags.Fua);
                switch (random.Next(6))
                {
                    case 0 or 1:
                        if (node.Grows && random.Next(4) == 0)
                        {
                            offset = model.Length - random.Next(Math.Min(model.Length, 5000)) + random.Next(3) * random.Next(5000);
                            length = random.Next(1, 6000);
                        }

                        var data = new byte[length];
                        random.NextBytes(data);
                        if (length > 0)
                        {
                            Array.Resize(ref model, Math.Max(model.Length, offset + length));
                        }

                        await edge.WriteAsync(offset, data, flags);
                        data.CopyTo(model, offset);
                        break;
                    case 2:
                        if (node.Grows && random.Next(4) == 0)
                        {
                            offset = model.Length - random.Next(Math.Min(model.Length, 5000)) + random.Next(3) * random.Next(5000);
                            length = random.Next(1, 6000);
                            Array.Resize(ref model, Math.Max(model.Length, offset + length));
                        }

                        await edge.WriteZeroesAsync(offset, length, flags | WriteFlags.MayUnmap);
                        model.AsSpan(offset, length).Clear();
                        break;
                    case 3:
                        await edge.DiscardAsync(offset, length);
                        break;
                    case 4 when i % 10 == 0:
                        Array.Resize(ref model, random.Next(1, 20_000));
                        await edge.ResizeAsync(model.Length);
                        break;
                    default:
                        var buffer = new byte[length];
                        await edge.ReadAsync(offset, buffer);
                        Assert.True(buffer.AsSpan().SequenceEqual(model.AsSpan(offset, length)));
                        break;
                }
            }

            Assert.True(node.Bytes.AsSpan().SequenceEqual(model));
            Assert.Equal(0, node.Tracker.InFlight);
        }
    }

    /// <summary>Writers that share blocks, but no byte, do not undo one another.</summary>
    [Fact]
    public async Task Concurrent_writes_into_one_block_lose_nothing()
    {
        var node = new ModelNode(new byte[40_000], new BlockLimits { RequestAlignment = 4096 }) { Later = () => true };
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(w => Task.Run(async () =>
        {
            for (var i = w; i < 400; i += 8)
            {
                await edge.WriteAsync(i * 100, Enumerable.Repeat((byte)(i + 1), 100).ToArray());
            }
        })));
        Assert.All(Enumerable.Range(0, 40_000), i => Assert.Equal((byte)((i / 100) + 1), node.Bytes[i]));
    }

    [Fact]
    public async Task Writes_that_extend_a_node_do_not_undo_one_another()
    {
        for (var round = 0; round < 30; round++)
        {
            var node = new ModelNode(new byte[100], new BlockLimits { RequestAlignment = 512 }) { Later = () => true, Grows = true };
            await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
            await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(
                async () => await edge.WriteAsync(i * 100, Enumerable.Repeat((byte)(i + 1), 100).ToArray()))));
            Assert.Equal(4000, node.Length);
            Assert.All(Enumerable.Range(0, 4000), i => Assert.Equal((byte)((i / 100) + 1), node.Bytes[i]));
        }
    }

    [Fact]
    public async Task Only_an_edge_that_may_resize_extends_a_node_that_grows()
    {
        var node = new ModelNode(new byte[100], BlockLimits.Default) { Grows = true };
        await using var writer = new BlockEdge(node, ChildRole.None, new(Permissions.Write, Permissions.All));
        await using var owner = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await EdgeTests.Refused(() => writer.WriteAsync(100, new byte[1]), ErrorCode.OutOfRange);
        await EdgeTests.Refused(() => owner.WriteAsync(long.MaxValue, new byte[1]), ErrorCode.OutOfRange);
        await EdgeTests.Refused(() => owner.ReadAsync(100, new byte[1]), ErrorCode.OutOfRange);
        await owner.WriteAsync(150, new byte[] { 1 });
        Assert.Equal(151, owner.Length);
        await owner.WriteZeroesAsync(200, 100);
        Assert.Equal(300, owner.Length);
        node.Grows = false;
        await EdgeTests.Refused(() => owner.WriteAsync(300, new byte[1]), ErrorCode.OutOfRange);
        await using var format = new BlockEdge(node, ChildRole.Metadata, EdgeTests.Everything);
        await EdgeTests.Refused(() => format.WriteAsync(300, new byte[1]), ErrorCode.NoSpace);
        await EdgeTests.Refused(() => format.WriteZeroesAsync(299, 2), ErrorCode.NoSpace);
        await EdgeTests.Refused(() => format.ReadAsync(300, new byte[1]), ErrorCode.OutOfRange);
    }

    private static byte[] Filled(int length)
    {
        var bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        return bytes;
    }
}
