using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Questions for block status that a node asks, and what it makes of the answers.</summary>
public sealed class NodeExtentTests
{
    private const string Depth = NbdContextNames.AllocationDepth;

    [Theory]
    [InlineData(1000, 100)]
    [InlineData(0, (128L << 20) + 1)]
    [InlineData(4095, 2)]
    public async Task Questions_are_in_whole_blocks_and_answers_are_not(long offset, long length)
    {
        const ulong size = 256 << 20;
        var asked = new List<NbdRequestHeader>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: size, block: new NbdBlockSize(4096, 4096, 1 << 20));
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.Disconnect)
                {
                    return;
                }

                asked.Add(request);
                peer.Status(request, 7, request.Offset == 0 ? [(4096, 3), (size - 4096, 0)] : [(size - request.Offset, 0)]);
            }
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var extents = new ExtentList();
        extents.Reset(offset, length);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.All(asked, request => Assert.Equal(0UL, (request.Offset | request.Length) % 4096));
        Assert.True(extents.IsComplete);
        var first = extents.Items[0];
        Assert.Equal((offset, Math.Min(4096, offset + length), ExtentState.Zero), (first.Start, first.End, first.State));
        Assert.Equal(offset + length > 4096 ? 2 : 1, extents.Count);
    }

    [Fact]
    public async Task Depths_in_the_place_of_allocation_are_read_as_its_flags_and_those_beyond_two_as_two()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: 20480, contexts: [new(7, Depth)]);
            peer.Status(peer.ReadRequest().Header, 7, [(4096, 0), (4096, 1), (4096, 2), (4096, 0), (4096, 3)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, AllocationContext = Depth });
        Assert.Equal(
            [(0, ExtentState.Data, false), (4096, ExtentState.Data, true), (8192, ExtentState.Zero, false), (12288, ExtentState.Data, false),
                (16384, ExtentState.Zero, false)],
            (await WalkAsync(node)).Select(e => (e.Start, e.State, e.IsHole)));
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task Allocation_and_depth_of_unequal_lengths_are_cut_to_common_ones(NbdHeaderStyle style)
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, size: 16384, contexts: [new(7, "base:allocation"), new(8, Depth)]);
            var (request, _) = peer.ReadRequest();
            peer.Status(request, 8, [(4096, 1), (8192, 2), (4096, style == NbdHeaderStyle.Extended ? ulong.MaxValue : uint.MaxValue)], done: false);
            peer.Status(request, 7, [(8192, 0), (8192, 3)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, MetaContexts = [Depth] });
        Assert.Equal(
            [(0, 4096, ExtentState.Data, 0), (4096, 4096, ExtentState.Data, 1), (8192, 4096, ExtentState.Zero, 1),
                (12288, 4096, ExtentState.Zero, (int.MaxValue / 2) - 1)],
            (await WalkAsync(node)).Select(e => (e.Start, e.Length, e.State, e.Behind)));
    }

    /// <summary>nbdkit's blocksize-policy filter passes on the extents of a file whatever block size it tells of.</summary>
    [Fact]
    public async Task Allocation_told_for_less_than_a_block_is_taken_and_what_is_left_out_of_a_block_is_data()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: 40960, block: new NbdBlockSize(8192, 8192, 65536));
            foreach (var extents in new (ulong, ulong)[][] { [(100, 3), (8092, 0), (1, 3)], [(4096, 3)], [(4096, 3)], [(24576, 3)] })
            {
                peer.Status(peer.ReadRequest().Header, 7, extents);
            }

            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        Assert.Equal(
            [(0, 100, ExtentState.Zero), (100, 8092, ExtentState.Data), (8192, 4096, ExtentState.Zero),
                (12288, 4096, ExtentState.Data), (16384, 24576, ExtentState.Zero)],
            (await WalkAsync(node)).Select(e => (e.Start, e.Length, e.State)));
    }

    [Theory]
    [InlineData("discard")]
    [InlineData("zeroes")]
    [InlineData("write")]
    [InlineData("long write")]
    [InlineData("resize")]
    public async Task Changes_make_worthless_what_is_remembered(string change)
    {
        const long size = 4 << 20;
        var asked = 0;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: (ulong)size, flags: FakePeer.DefaultFlags | NbdTransmissionFlags.SendResize);
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.BlockStatus)
                {
                    peer.Status(request, 7, [((ulong)size - request.Offset, asked++ == 0 ? 0UL : 3)]);
                }
                else
                {
                    peer.Done(request);
                }
            }
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var extents = new ExtentList();
        extents.Reset(0, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        switch (change)
        {
            case "discard":
                await node.DiscardAsync(4096, 4096);
                break;
            case "zeroes":
                await node.TryWriteZeroesAsync(4096, 4096, WriteFlags.None);
                break;
            case "resize":
                await node.ResizeAsync(2 * size, Preallocation.Off);
                break;
            default:
                await node.WriteAsync(4096, new byte[change == "write" ? 4096 : 1 << 20], WriteFlags.None);
                break;
        }

        extents.Reset(4096, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(2, asked);
        Assert.Equal(ExtentState.Zero, extents.Items[0].State);
    }

    [Fact]
    public async Task A_change_makes_worthless_what_is_remembered_as_soon_as_it_begins()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            peer.Status(peer.ReadRequest().Header, 7, [(FakePeer.DefaultSize, 3)]);
            var (write, _) = peer.ReadRequest();
            var (status, _) = peer.ReadRequest();
            peer.Status(status, 7, [(FakePeer.DefaultSize - status.Offset, 0)]);
            peer.Done(write);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var extents = new ExtentList();
        extents.Reset(0, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        var writing = node.WriteAsync(4096, new byte[4096], WriteFlags.None);
        extents.Reset(4096, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer).AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(ExtentState.Data, extents.Items[0].State);
        await writing;
    }

    [Fact]
    public async Task What_is_remembered_holds_where_the_last_question_ended_and_nowhere_else()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            peer.Status(peer.ReadRequest().Header, 7, [(4096, 0), (4096, 0), (FakePeer.DefaultSize - 8192, 3)]);
            peer.Status(peer.ReadRequest().Header, 7, [(4096, 0)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var extents = new ExtentList();
        extents.Reset(0, 8192);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        extents.Reset(65536, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(new BlockExtent(65536, 4096, ExtentState.Data, ExtentFlags.None, 65536, node, 1), Assert.Single(extents.Items.ToArray()));
    }

    /// <summary>Of what is remembered a short question takes a part: the next one gets the rest of the extent, and then the one behind it.</summary>
    [Fact]
    public async Task Steps_shorter_than_an_extent_are_told_it_and_the_next_one_as_they_are()
    {
        const ulong piece = 8192;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: 8 * piece);
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.Disconnect)
                {
                    return;
                }

                var extents = new List<(ulong, ulong)>();
                for (var at = request.Offset; at < 8 * piece; at += extents[^1].Item1)
                {
                    extents.Add((piece - (at % piece), at / piece % 2 == 0 ? 0UL : 3));
                }

                peer.Status(request, 7, [.. extents]);
            }
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var extents = new ExtentList();
        for (var at = 0; at < node.Length; at += 2048)
        {
            extents.Reset(at, 2048);
            await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
            var extent = Assert.Single(extents.Items.ToArray());
            Assert.Equal((at, 2048, at / (int)piece % 2 == 0 ? ExtentState.Data : ExtentState.Zero), (extent.Start, extent.Length, extent.State));
        }
    }

    /// <summary>Allocation and depth of random lengths, told in parts of random lengths and read in random steps, are as they are.</summary>
    [Theory]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task Random_extents_of_two_contexts_read_in_random_steps_are_as_they_are(NbdHeaderStyle style)
    {
        const int block = 512;
        const int blocks = 400;
        for (var seed = 0; seed < 10; seed++)
        {
            var random = new Random(seed);
            var flags = new ulong[2][];
            for (var i = 0; i < 2; i++)
            {
                flags[i] = new ulong[blocks];
                for (int k = 0, left = 0; k < blocks; k++, left--)
                {
                    flags[i][k] = left > 0 ? flags[i][k - 1] : (ulong)random.Next(4);
                    left = left > 0 ? left : random.Next(1, 20);
                }
            }

            using var server = new FakeServer(peer =>
            {
                var by = new Random(seed);
                peer.Handshake(style, size: blocks * block, contexts: [new(7, "base:allocation"), new(8, Depth)]);
                while (true)
                {
                    var (request, _) = peer.ReadRequest();
                    if (request.Command == NbdCommand.Disconnect)
                    {
                        return;
                    }

                    peer.Status(request, 8, Told(flags[1], (int)request.Offset / block, (int)(request.Offset + request.Length) / block, by.Next(1, 9)), done: false);
                    peer.Status(request, 7, Told(flags[0], (int)request.Offset / block, (int)(request.Offset + request.Length) / block, by.Next(1, 9)));
                }
            });
            await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, MetaContexts = [Depth] });
            var extents = new ExtentList();
            for (long at = 0; at < node.Length; at = extents.End)
            {
                extents.Reset(at, Math.Min(node.Length - at, random.Next(1, 60) * block), random.Next(1, 10));
                await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
                Assert.True(extents.End > at);
                foreach (var extent in extents.Items.ToArray())
                {
                    for (var k = extent.Start; k < extent.End; k += block)
                    {
                        var (allocation, depth) = (flags[0][k / block], flags[1][k / block]);
                        Assert.True(
                            (extent.State == ExtentState.Zero, extent.IsHole, extent.Behind) == ((allocation & 2) != 0, (allocation & 1) != 0, (int)depth - 1),
                            $"seed {seed}: at {k} it says {extent}");
                    }
                }
            }
        }

        // At most so many extents from a block on; the last one reaches beyond the range, as far as it says the same.
        static (ulong, ulong)[] Told(ulong[] flags, int at, int end, int most)
        {
            var extents = new List<(ulong, ulong)>();
            while (at < end && extents.Count < most)
            {
                var start = at;
                while (at < flags.Length && flags[at] == flags[start])
                {
                    at++;
                }

                extents.Add(((ulong)(at - start) * block, flags[start]));
            }

            return [.. extents];
        }
    }

    private static async Task<BlockExtent[]> WalkAsync(NbdNode node)
    {
        var extents = new ExtentList();
        extents.Reset(0, node.Length);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        return extents.Items.ToArray();
    }
}
