using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Storage;

public class MemoryNodeTests
{
    [Fact]
    public async Task It_behaves_as_an_array_that_grows()
    {
        var random = new Random(11);
        var model = new byte[200_000];
        await using var edge = new BlockEdge(new MemoryNode(model.Length), ChildRole.None, EdgeTests.Everything);
        for (var i = 0; i < 600; i++)
        {
            var offset = random.Next(model.Length);
            var length = random.Next(1, random.Next(2) == 0 ? 600 : 150_000);
            var within = Math.Min(length, model.Length - offset);
            switch (random.Next(6))
            {
                case 0 when model.Length < 400_000:
                    var data = new byte[length];
                    random.NextBytes(data);
                    Array.Resize(ref model, Math.Max(model.Length, offset + length));
                    data.CopyTo(model, offset);
                    await edge.WriteAsync(offset, data);
                    break;
                case 1 when model.Length < 400_000:
                    Array.Resize(ref model, Math.Max(model.Length, offset + length));
                    model.AsSpan(offset, length).Clear();
                    await edge.WriteZeroesAsync(offset, length);
                    break;
                case 2:
                    model.AsSpan(offset, within).Clear();
                    await edge.DiscardAsync(offset, within);
                    break;
                case 3 when random.Next(4) == 0:
                    Array.Resize(ref model, Math.Max(1, offset));
                    await edge.ResizeAsync(model.Length);
                    break;
                case 4 when random.Next(4) == 0:
                    Array.Resize(ref model, model.Length + 30_000);
                    await edge.ResizeAsync(model.Length);
                    break;
                default:
                    var read = new byte[within];
                    random.NextBytes(read);
                    await edge.ReadAsync(offset, read);
                    Assert.True(read.AsSpan().SequenceEqual(model.AsSpan(offset, within)), $"step {i}");
                    break;
            }

            Assert.Equal(model.Length, edge.Length);
        }

        var all = new byte[model.Length];
        await edge.ReadAsync(0, all);
        Assert.Equal(model, all);
    }

    [Fact]
    public async Task A_huge_disk_costs_nothing_and_says_where_its_data_is()
    {
        var node = new MemoryNode(1L << 60);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync((1L << 50) + 65_535, new byte[] { 1, 2 });
        await edge.WriteAsync((1L << 50) + (5 * 65_536), new byte[] { 3 });
        var extents = new ExtentList();
        extents.Reset(1L << 50, 6 * 65_536);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(
            [(1L << 50, 2 * 65_536L, ExtentState.Data), ((1L << 50) + (2 * 65_536), 3 * 65_536L, ExtentState.Zero), ((1L << 50) + (5 * 65_536), 65_536L, ExtentState.Data)],
            extents.Items.ToArray().Select(e => (e.Start, e.Length, e.State)));
        Assert.All(extents.Items.ToArray(), e => Assert.Equal(e.State == ExtentState.Zero, e.IsHole));
        Assert.Same(node, extents.Items[0].HostNode);
    }

    [Fact]
    public async Task It_can_begin_with_content()
    {
        await using var edge = new BlockEdge(new MemoryNode("content"u8), ChildRole.None, EdgeTests.Everything);
        var buffer = new byte[7];
        await edge.ReadAsync(0, buffer);
        Assert.Equal("content"u8.ToArray(), buffer);
        Assert.Throws<ArgumentOutOfRangeException>(() => new MemoryNode(-1));
    }

    [Fact]
    public async Task Writers_at_the_same_time_lose_nothing_and_the_longest_decides_the_length()
    {
        var node = new MemoryNode(0);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        await Parallel.ForAsync(0, 4, async (worker, _) =>
        {
            for (var i = worker; i < 400; i += 4)
            {
                await edge.WriteAsync(i * 1000, Enumerable.Repeat((byte)(i + 1), 1000).ToArray());
            }
        });
        Assert.Equal(400_000, edge.Length);
        var all = new byte[400_000];
        await edge.ReadAsync(0, all);
        for (var i = 0; i < all.Length; i++)
        {
            Assert.Equal((byte)((i / 1000) + 1), all[i]);
        }
    }
}
