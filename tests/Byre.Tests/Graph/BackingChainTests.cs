using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Graph;

public class BackingChainTests
{
    private static readonly PermissionSet Reading = DefaultPermissions.ForceShare;

    [Fact]
    public async Task Layers_are_merged_and_depths_told()
    {
        var bottom = Layer("bottom", null, "AAZZ--");
        var middle = Layer("middle", bottom, "D----D--");
        var top = Layer("top", middle, "-D-Z------");
        await using var edge = new BlockEdge(top, ChildRole.None, Reading);
        var chain = new BackingChain(edge);
        Assert.Equal("0+1 Data@2; 1+1 Data@1; 2+1 Zero@3; 3+1 Zero@1; 4+1 Absent@0; 5+1 Data@2; 6+4 Absent@0", await Ask(chain, 0, 10));
        Assert.Equal("1+1 Data@1", await Ask(chain, 0, 10, skip: 1, limit: 1));
        Assert.Equal(["top", "middle", "bottom"], chain.Layers.Select(l => l.Node.Name));
        Assert.Equal((2, 8L), (chain.DeepestAskedAt(6, out var end), end));
        Assert.Equal((3, 6L), (chain.DeepestAskedAt(4, out end), end));
        Assert.Equal((1, 10L), (chain.DeepestAskedAt(8, out end), end));
        Assert.Same(middle, chain.FindLayer("middle.img")!.Node);
        Assert.Null(chain.FindLayer("nobody"));
    }

    [Fact]
    public async Task A_short_layer_hides_what_is_below_its_end()
    {
        var bottom = Layer("bottom", null, "AAAA");
        var middle = Layer("middle", bottom, "--");
        var top = Layer("top", middle, "-----");
        await using var edge = new BlockEdge(top, ChildRole.None, Reading);
        Assert.Equal("0+2 Data@3; 2+3 Absent@0", await Ask(new BackingChain(edge), 0, 5));
        Assert.Equal("0+2 Absent@0; 2+3 Zero@2", await Ask(new BackingChain(edge, bottom), 0, 5));
        Assert.Equal("0+5 Absent@0", await Ask(new BackingChain(edge, middle), 0, 5));
    }

    [Fact]
    public async Task A_base_that_is_no_layer_is_refused_and_so_is_the_top()
    {
        var bottom = Layer("bottom", null, "A");
        var top = Layer("top", bottom, "-");
        await using var edge = new BlockEdge(top, ChildRole.None, Reading);
        var stranger = Layer("stranger", null, "A");
        Assert.Throws<BlockException>(() => new BackingChain(edge, stranger));
        Assert.Throws<BlockException>(() => new BackingChain(edge, top));
    }

    [Fact]
    public async Task Filters_are_no_layers()
    {
        var bottom = Layer("bottom", null, "A-");
        var low = new Requests.EdgeTests.PassNode(new BlockEdge(bottom, ChildRole.Filtered, Reading));
        var top = Layer("top", low, "--");
        var high = new Requests.EdgeTests.PassNode(new BlockEdge(top, ChildRole.Filtered, Reading));
        await using var edge = new BlockEdge(high, ChildRole.None, Reading);
        Assert.Equal("0+1 Data@2; 1+1 Absent@0", await Ask(new BackingChain(edge), 0, 2));
        Assert.Equal([top, bottom], BackingChain.LayersOf(high));
        Assert.Single(new BackingChain(edge, low).Layers);
        Assert.Single(new BackingChain(edge, bottom).Layers);
        Assert.Same(top, BackingChain.SkipFilters(high));
    }

    [Fact]
    public async Task A_layer_that_cannot_fall_through_and_says_absent_is_read()
    {
        var bottom = Layer("bottom", null, "A-");
        var odd = new Requests.EdgeTests.PassNode(new BlockEdge(bottom, ChildRole.Data, Reading));
        await using var edge = new BlockEdge(odd, ChildRole.None, Reading);
        Assert.Equal("0+1 Data@1; 1+1 Data@1", await Ask(new BackingChain(edge), 0, 2));
    }

    /// <summary>Random chains, answers cut short at will, against a plain walk of every byte.</summary>
    [Fact]
    public async Task Random_chains_answer_as_a_walk_of_every_byte_does()
    {
        var random = new Random(3);
        for (var round = 0; round < 400; round++)
        {
            var texts = Enumerable.Range(0, random.Next(1, 6)).Select(_ => RandomText(random)).ToArray();
            BlockNode? below = null;
            for (var i = texts.Length - 1; i >= 0; i--)
            {
                var layer = Layer("n" + i, below, texts[i]);
                layer.AnswerLimit = random.Next(1, 5);
                below = layer;
            }

            await using var edge = new BlockEdge(below!, ChildRole.None, Reading);
            var chain = new BackingChain(edge);
            var offset = random.Next(texts[0].Length);
            var length = random.Next(1, texts[0].Length - offset + 1);
            var expected = string.Concat(Enumerable.Range(offset, length).Select(at => Walk(texts, at)));
            var got = new System.Text.StringBuilder();
            var list = new ExtentList();
            for (long at = offset; at < offset + length; at = list.End)
            {
                list.Reset(at, offset + length - at, random.Next(1, 6));
                await chain.GetExtentsAsync(list, ExtentPrecision.Layer);
                Assert.True(list.Count > 0);
                foreach (var e in list.Items)
                {
                    for (var i = 0; i < e.Length; i++)
                    {
                        got.Append(e.State.ToString()[0]).Append(e.Depth);
                        Assert.Equal(e.State == ExtentState.Data ? e.Start + 1000 : -1, e.HostOffset);
                    }
                }
            }

            Assert.Equal(expected, got.ToString());
        }
    }

    [Fact]
    public async Task A_deep_and_fragmented_chain_costs_no_question_per_fragment()
    {
        var fragments = string.Concat(Enumerable.Repeat("-D", 5000));
        var bottom = Layer("bottom", null, new string('A', 10_000));
        var top = Layer("top", Layer("middle", bottom, new string('-', 10_000)), fragments);
        await using var edge = new BlockEdge(top, ChildRole.None, Reading);
        var list = new ExtentList();
        list.Reset(0, 10_000);
        await new BackingChain(edge).GetExtentsAsync(list, ExtentPrecision.Layer);
        Assert.True(list.IsComplete);
        Assert.Equal(10_000, list.Count);
        Assert.Equal(1, bottom.Questions);
    }

    [Fact]
    public void A_guard_notices_a_file_that_comes_again()
    {
        var guard = new BackingLoopGuard();
        guard.Enter("/a", "a");
        guard.Enter("/b", "b");
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => guard.Enter("/a", "../a")).Code);
    }

    /// <summary>One letter a byte: D or A data, Z zero, - absent.</summary>
    private static FakeNode Layer(string name, BlockNode? backing, string text)
    {
        var node = new FakeNode(name, text.Length, backing is null ? null : new BlockEdge(backing, ChildRole.Backing, Reading, "backing"));
        for (var i = 0; i < text.Length; i++)
        {
            node.Extents.Add(text[i] switch
            {
                '-' => new(i, 1, ExtentState.Absent, ExtentFlags.Hole, -1, null, 1),
                'Z' => new(i, 1, ExtentState.Zero, ExtentFlags.None, -1, null, 1),
                _ => new(i, 1, ExtentState.Data, ExtentFlags.None, i + 1000, node, 1),
            });
        }

        return node;
    }

    private static string RandomText(Random random)
    {
        var text = new char[random.Next(1, 60)];
        for (var i = 0; i < text.Length; i++)
        {
            text[i] = i > 0 && random.Next(3) != 0 ? text[i - 1] : "D-Z-"[random.Next(4)];
        }

        return new string(text);
    }

    private static string Walk(string[] texts, int at)
    {
        for (var i = 0; i < texts.Length; i++)
        {
            if (at >= texts[i].Length)
            {
                break;
            }

            if (texts[i][at] != '-')
            {
                return (texts[i][at] == 'Z' ? "Z" : "D") + (i + 1);
            }
        }

        return "A0";
    }

    private static async Task<string> Ask(BackingChain chain, long offset, long length, int skip = 0, int limit = int.MaxValue)
    {
        var list = new ExtentList();
        list.Reset(offset + skip, length - skip, limit);
        await chain.GetExtentsAsync(list, ExtentPrecision.Layer);
        return string.Join("; ", list.Items.ToArray().Select(e => $"{e.Start}+{e.Length} {e.State}@{e.Depth}"));
    }
}
