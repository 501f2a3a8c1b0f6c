using Byre.Bitmaps;
using Byre.Graph;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Graph;

namespace Byre.Tests.Nbd.Contexts;

public class ContextWalkerTests
{
    private static readonly PermissionSet Reading = DefaultPermissions.ForceShare;

    [Fact]
    public async Task A_bitmap_of_a_million_runs_fills_a_reply_and_no_more()
    {
        const long Bits = 2_000_000;
        var bitmap = new DirtyBitmap("b", Bits * 512, 512);
        for (var i = 0L; i < Bits; i += 2)
        {
            bitmap.Set(i * 512, 512);
        }

        await using var edge = new BlockEdge(new NullNode(Bits * 512), ChildRole.None, Reading);
        var replies = Replies(new MetaContextCatalog(false, ["b"]), "base:allocation", "qemu:dirty-bitmap:b");
        var walker = new ContextWalker(new ContextSource(edge, [bitmap]), isAligned: false, NbdHeaderStyle.Extended);
        var before = GC.GetAllocatedBytesForCurrentThread();
        await walker.QueryAsync(0, Bits * 512, ContextWalker.DefaultLimit, one: false, replies);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        Assert.Equal($"{Bits * 512}:2", Text(replies[0]));
        Assert.Equal(ContextWalker.DefaultLimit, replies[1].Count);
        Assert.Equal(new NbdStatusDescriptor(512, 1), replies[1].Items[0]);
        Assert.Equal(new NbdStatusDescriptor(512, 0), replies[1].Items[^1]);

        await walker.QueryAsync(512 * 7, 512, ContextWalker.DefaultLimit, one: false, replies);
        Assert.Equal((1, 1), (replies[0].Count, replies[1].Count));
    }

    [Fact]
    public async Task An_uneven_end_behind_a_window_is_the_windows_end()
    {
        await using var edge = new BlockEdge(new MemoryNode(new byte[10_000]), ChildRole.None, Reading);
        var bitmap = new DirtyBitmap("b", 10_000, 512);
        bitmap.Set(4096, 4096);
        var source = new ContextSource(edge, [bitmap], 4000, 5001);
        var replies = Replies(new MetaContextCatalog(true, ["b"]), "qemu:allocation-depth", "qemu:dirty-bitmap:b");
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Simple).QueryAsync(0, 1, 10, one: false, replies);
        Assert.Equal("5001:1", Text(replies[0]));
        Assert.Equal("96:0", Text(replies[1]));
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Simple).QueryAsync(0, 5001, 10, one: false, replies);
        Assert.Equal("96:0 4096:1 809:0", Text(replies[1]));
    }

    [Fact]
    public async Task Lengths_of_32_bits_reach_less_than_4_gib_and_those_of_64_as_far_as_a_status_lasts()
    {
        await using var edge = new BlockEdge(new NullNode(16L << 40), ChildRole.None, Reading);
        var replies = Replies(new MetaContextCatalog(true, []), "base:allocation", "byre:joint");
        var source = new ContextSource(edge, []);
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Structured).QueryAsync(0, 65536, 10, one: false, replies);
        Assert.Equal("4294901760:2", Text(replies[0]));
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Structured).QueryAsync(1, uint.MaxValue, 10, one: false, replies);
        Assert.Equal("4294967295:2", Text(replies[0]));
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Extended).QueryAsync(0, 65536, 10, one: false, replies);
        Assert.Equal($"{16L << 40}:2", Text(replies[0]));
        Assert.Equal($"{16L << 40}:6", Text(replies[1]));
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Extended).QueryAsync(0, 65536, 10, one: true, replies);
        Assert.Equal("65536:2", Text(replies[0]));
    }

    [Fact]
    public async Task No_more_than_27_bitmaps_are_joined()
    {
        var bitmaps = Enumerable.Range(0, 30).Select(i => new DirtyBitmap("b" + i, 4096, 512)).ToArray();
        foreach (var bitmap in bitmaps)
        {
            bitmap.Set(0, 512);
        }

        bitmaps[26].Set(512, 512);
        await using var edge = new BlockEdge(new NullNode(4096), ChildRole.None, Reading);
        var replies = Replies(new MetaContextCatalog(false, [.. bitmaps.Select(b => b.Name)]), "byre:joint", "qemu:dirty-bitmap:b29");
        await new ContextWalker(new ContextSource(edge, bitmaps), false, NbdHeaderStyle.Extended).QueryAsync(0, 4096, 9, false, replies);
        Assert.Equal($"512:{0x7ffffff6u} 512:{0x40000006u} 3072:6", Text(replies[0]));
        Assert.Equal("512:1 3584:0", Text(replies[1]));
    }

    /// <summary>A mapping in a million pieces that all say the same does not keep a reply waiting: it ends on the way.</summary>
    [Fact]
    public async Task A_walk_ends_though_all_extents_say_the_same()
    {
        const long Pieces = 1 << 20, Most = 512 << 10;
        await using var edge = new BlockEdge(new ScatteredNode(Pieces * 512), ChildRole.None, Reading);
        var replies = Replies(new MetaContextCatalog(false, []), "base:allocation");
        var walker = new ContextWalker(new ContextSource(edge, []), isAligned: false, NbdHeaderStyle.Extended);
        await walker.QueryAsync(0, Pieces * 512, 10, one: false, replies);
        Assert.Equal($"{Most * 512}:0", Text(replies[0]));
    }

    /// <summary>What is promised of an image at the beginning is true of all of it, or nothing is.</summary>
    [Theory]
    [InlineData("", NbdInitialState.Zero | NbdInitialState.Sparse)]
    [InlineData("D", NbdInitialState.Sparse)]
    public async Task Only_a_mapping_that_was_seen_whole_promises_zeroes(string end, NbdInitialState expected)
    {
        var zeroes = string.Concat(Enumerable.Repeat("-Z", end.Length == 0 ? 8 : 20));
        await using var edge = new BlockEdge(Layer("top", null, zeroes + end), ChildRole.None, Reading);
        Assert.Equal(expected, await InitialStateProbe.LookAsync(new ContextSource(edge, [])));
    }

    /// <summary>The mapping is asked once for all contexts.</summary>
    [Fact]
    public async Task Four_contexts_cost_the_questions_of_one()
    {
        var top = Layer("top", Layer("base", null, new string('D', 300)), string.Concat(Enumerable.Repeat("D-Z", 100)));
        await using var edge = new BlockEdge(top, ChildRole.None, Reading);
        var catalog = new MetaContextCatalog(true, []);
        var all = Replies(catalog, [.. catalog.All.Select(c => c.Name)]);
        var walker = new ContextWalker(new ContextSource(edge, []), false, NbdHeaderStyle.Extended);
        await walker.QueryAsync(0, 300 * Unit, 1000, false, [all[0]]);
        var questions = top.Questions;
        await walker.QueryAsync(0, 300 * Unit, 1000, false, all);
        Assert.Equal(2 * questions, top.Questions);
        Assert.All(all, reply => Assert.Equal(300ul * Unit, Total(reply)));
    }

    [Fact]
    public async Task A_changed_graph_is_followed_anew()
    {
        var backing = new MemoryNode(new byte[4096]);
        await using var edge = new BlockEdge(new NullNode(4096), ChildRole.None, Reading);
        var replies = Replies(new MetaContextCatalog(true, []), "qemu:allocation-depth");
        var walker = new ContextWalker(new ContextSource(edge, []), false, NbdHeaderStyle.Extended);
        await walker.QueryAsync(0, 4096, 9, false, replies);
        Assert.Equal("4096:1", Text(replies[0]));
        var old = edge.Node;
        edge.Node = Layer("top", backing, "--------");
        await walker.QueryAsync(0, 4096, 9, false, replies);
        Assert.Equal("4096:2", Text(replies[0]));
        edge.Node = old;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Random_chains_and_bitmaps_are_told_as_a_walk_of_every_byte_tells_them(bool aligned)
    {
        var seed = Environment.TickCount;
        var random = new Random(seed);
        for (var round = 0; round < 400; round++)
        {
            var texts = Enumerable.Range(0, random.Next(1, 5)).Select(_ => RandomText(random)).ToArray();
            BlockNode? below = null;
            for (var i = texts.Length - 1; i >= 0; i--)
            {
                var layer = Layer("n" + i, below, texts[i]);
                layer.AnswerLimit = random.Next(1, 9);
                below = layer;
            }

            await using var edge = new BlockEdge(below!, ChildRole.None, Reading);
            var bitmaps = Enumerable.Range(0, random.Next(0, 3)).Select(i => RandomBitmap(random, "b" + i, texts[0].Length * Unit)).ToArray();
            var catalog = new MetaContextCatalog(true, [.. bitmaps.Select(b => b.Name)]);
            var wanted = catalog.All.Where(_ => random.Next(3) != 0).DefaultIfEmpty(catalog.All[0]).Select(c => new ContextReply(c)).ToArray();
            var start = random.Next(texts[0].Length) * Unit;
            var source = new ContextSource(edge, bitmaps, start);
            var size = (texts[0].Length * Unit) - start;
            var walker = new ContextWalker(source, aligned, NbdHeaderStyle.Extended);
            for (var question = 0; question < 4; question++)
            {
                var offset = random.Next((int)size);
                var length = random.Next(1, (int)size - offset + 1);
                var limit = random.Next(1, 12);
                var one = random.Next(3) == 0;
                await walker.QueryAsync(offset, length, limit, one, wanted);
                foreach (var reply in wanted)
                {
                    Check($"seed {seed} round {round}: {reply.Context.Name}", reply, texts, bitmaps, start + offset, length, one ? 1 : limit, one, size - offset, aligned);
                }

                if (aligned)
                {
                    Assert.All(wanted, r => Assert.Equal(wanted[0].Items.ToArray().Select(d => d.Length), r.Items.ToArray().Select(d => d.Length)));
                }
            }
        }
    }

    private const long Unit = 512;

    private static void Check(
        string what, ContextReply reply, string[] texts, DirtyBitmap[] bitmaps, long offset, long length, int limit, bool one, long rest, bool aligned)
    {
        Assert.InRange(reply.Count, 1, limit);
        var at = offset;
        for (var i = 0; i < reply.Count; i++)
        {
            var (extent, flags) = reply.Items[i];
            Assert.True(extent > 0 && at < offset + length, what);
            for (var end = at + (long)extent; at < end; at++)
            {
                if (Model(reply.Context, texts, bitmaps, at) != flags)
                {
                    Assert.Fail($"{what}: at {at} of {string.Join(" <- ", texts)} flags are {flags}, not {Model(reply.Context, texts, bitmaps, at)}");
                }
            }

            Assert.True(aligned || i == 0 || reply.Items[i - 1].Flags != flags, $"{what}: neighbours say the same");
        }

        Assert.True(at - offset <= (one ? length : rest), what);
        if (reply.Count < limit && !aligned)
        {
            // It ended because the range did: one extent as long as the status lasts, where only one was wanted.
            Assert.True(at >= offset + length, what);
        }

        if (one && !aligned)
        {
            var flags = (uint)reply.Items[0].Flags;
            Assert.True(at == offset + length || Model(reply.Context, texts, bitmaps, at) != flags, what);
        }
    }

    private static uint Model(MetaContext context, string[] texts, DirtyBitmap[] bitmaps, long at)
    {
        var (letter, depth) = ('-', 0);
        for (var i = 0; i < texts.Length && letter == '-'; i++)
        {
            (letter, depth) = at / Unit >= texts[i].Length ? ('e', i + 1) : (texts[i][(int)(at / Unit)], i + 1);
        }

        depth = letter == '-' ? 0 : depth;
        var allocation = letter switch { 'D' => 0u, 'Z' => 2u, 'H' => 1u, _ => 3u };
        var joint = allocation | (depth == 1 ? 4u : depth > 1 ? 8u : 0u);
        return context.Kind switch
        {
            MetaContextKind.Allocation => allocation,
            MetaContextKind.Depth => (uint)depth,
            MetaContextKind.DirtyBitmap => bitmaps[context.Bitmap].IsDirty(at) ? 1u : 0u,
            MetaContextKind.JointAllocation => joint,
            _ => joint | (uint)bitmaps.Select((b, i) => b.IsDirty(at) ? 16 << i : 0).Sum(),
        };
    }

    /// <summary>One letter for 512 bytes: D data, Z zero, P zero with a place in the file, H a hole of unknown content, - absent.</summary>
    private static FakeNode Layer(string name, BlockNode? backing, string text)
    {
        var node = new FakeNode(name, text.Length * Unit, backing is null ? null : new BlockEdge(backing, ChildRole.Backing, Reading, "backing"));
        for (var i = 0; i < text.Length; i++)
        {
            var at = i * Unit;
            node.Extents.Add(text[i] switch
            {
                '-' => new(at, Unit, ExtentState.Absent, ExtentFlags.Hole, -1, null, 1),
                'Z' => new(at, Unit, ExtentState.Zero, ExtentFlags.None, -1, null, 1),
                'P' => new(at, Unit, ExtentState.Zero, ExtentFlags.Reserved, at, node, 1),
                'H' => new(at, Unit, ExtentState.Data, ExtentFlags.Hole, -1, null, 1),
                _ => new(at, Unit, ExtentState.Data, ExtentFlags.None, at + (random(i) * Unit), node, 1),
            });
        }

        return node;

        // Neighbours that lie apart are extents of their own.
        static long random(int i) => i * 31 % 7 * 1000;
    }

    private static string RandomText(Random random)
    {
        var text = new char[random.Next(1, 40)];
        for (var i = 0; i < text.Length; i++)
        {
            text[i] = i > 0 && random.Next(3) != 0 ? text[i - 1] : "D-Z-PH"[random.Next(6)];
        }

        return new string(text);
    }

    private static DirtyBitmap RandomBitmap(Random random, string name, long length)
    {
        var bitmap = new DirtyBitmap(name, length, 512 << random.Next(3));
        for (var i = random.Next(8); i > 0; i--)
        {
            var at = random.NextInt64(length);
            bitmap.Set(at, random.NextInt64(1, length - at + 1) / 3);
        }

        return bitmap;
    }

    private static ContextReply[] Replies(MetaContextCatalog catalog, params string[] names) =>
        [.. names.Select(name => new ContextReply(catalog.Select([name]).Single()))];

    private static string Text(ContextReply reply) => string.Join(' ', reply.Items.ToArray().Select(d => $"{d.Length}:{d.Flags}"));

    private static ulong Total(ContextReply reply) => reply.Items.ToArray().Aggregate(0ul, (sum, d) => sum + d.Length);

    /// <summary>Data in pieces of 512 bytes that lie nowhere near each other.</summary>
    private sealed class ScatteredNode(long length) : BlockNode
    {
        public override string DriverName => "scattered";

        public override long Length => length;

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => throw new NotSupportedException();

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => throw new NotSupportedException();

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
        {
            for (var at = extents.Offset; !extents.IsFull; at += 512)
            {
                extents.Add(new BlockExtent(at, 512, ExtentState.Data, ExtentFlags.None, length - at, this, 1));
            }

            return default;
        }
    }
}
