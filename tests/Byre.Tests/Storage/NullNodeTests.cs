using System.Diagnostics;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Storage;

public class NullNodeTests
{
    [Fact]
    public async Task Writes_vanish_and_reads_give_zeroes()
    {
        await using var edge = new BlockEdge(new NullNode(1L << 40), ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync(100, new byte[] { 1, 2, 3 }, WriteFlags.Fua);
        await edge.WriteZeroesAsync(0, 1L << 40, WriteFlags.NoFallback);
        var buffer = new byte[] { 9, 9, 9 };
        await edge.ReadAsync(100, buffer);
        Assert.Equal(new byte[3], buffer);
        await edge.FlushAsync();
        var extents = new ExtentList();
        extents.Reset(0, 1L << 40);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Exact);
        Assert.True(Assert.Single(extents.Items.ToArray()).ReadsAsZero);
        await edge.ResizeAsync(10);
        Assert.Equal(10, edge.Length);
        await EdgeTests.Refused(() => edge.WriteAsync(10, new byte[1]), ErrorCode.OutOfRange);
    }

    [Fact]
    public async Task Without_zeroes_a_read_leaves_the_buffer_alone_and_extents_say_data()
    {
        await using var edge = new BlockEdge(new NullNode(1 << 20, readZeroes: false), ChildRole.None, EdgeTests.Everything);
        var buffer = new byte[] { 9, 9 };
        await edge.ReadAsync(0, buffer);
        Assert.Equal(new byte[] { 9, 9 }, buffer);
        var extents = new ExtentList();
        extents.Reset(0, 1 << 20);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(ExtentState.Data, Assert.Single(extents.Items.ToArray()).State);
    }

    [Fact]
    public async Task Latency_delays_each_request()
    {
        await using var edge = new BlockEdge(
            new NullNode(1 << 20, latency: TimeSpan.FromMilliseconds(30)), ChildRole.None, EdgeTests.Everything);
        var watch = Stopwatch.StartNew();
        await edge.ReadAsync(0, new byte[1]);
        await edge.WriteAsync(0, new byte[1]);
        Assert.True(watch.ElapsedMilliseconds >= 55, $"{watch.ElapsedMilliseconds} ms");
    }
}
