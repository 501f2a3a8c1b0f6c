using Byre.Filters;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Filters;

public class FaultNodeTests
{
    [Fact]
    public async Task The_nth_request_of_a_kind_fails_and_only_that()
    {
        var (node, edge) = Make(new FaultRule { Kinds = FaultKinds.Write, First = 3, Count = 2, Errno = 28 });
        await edge.WriteAsync(0, Filled(1, 512));
        await edge.ReadAsync(0, new byte[512]);
        await edge.WriteZeroesAsync(512, 512);
        await edge.WriteAsync(512, Filled(2, 512));
        for (var i = 0; i < 2; i++)
        {
            var e = await Assert.ThrowsAsync<BlockException>(async () => await edge.WriteAsync(0, Filled(3, 512)));
            Assert.Equal(ErrorCode.NoSpace, e.Code);
            Assert.Equal(28, e.Errno);
            Assert.Equal(0, e.Offset);
        }

        await edge.WriteAsync(1024, Filled(4, 512));
        Assert.Equal(new[] { 1, 2, 4, 0 }, await SectorsAsync(edge, 4));
        Assert.Equal(2, node.Hits);
        Assert.Equal(5, node.CountOf(FaultKinds.Write));
        Assert.Equal(1, node.CountOf(FaultKinds.WriteZeroes));
        await edge.DisposeAsync();
    }

    [Theory]
    [InlineData(FaultKinds.Read)]
    [InlineData(FaultKinds.Write)]
    [InlineData(FaultKinds.WriteZeroes)]
    [InlineData(FaultKinds.Discard)]
    [InlineData(FaultKinds.Flush)]
    [InlineData(FaultKinds.Resize)]
    [InlineData(FaultKinds.Extents)]
    public async Task Every_kind_can_fail_once_and_works_again(FaultKinds kind)
    {
        var (node, edge) = Make();
        await edge.WriteAsync(0, Filled(9, 4096));
        node.Add(new FaultRule { Kinds = kind });
        await EdgeTests.Refused(() => RequestAsync(edge, kind), ErrorCode.Io);
        Assert.Equal(4096, edge.Length);
        Assert.Equal(new[] { 9, 9 }, await SectorsAsync(edge, 2));
        await RequestAsync(edge, kind);
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_write_is_cut_short_and_fails()
    {
        var (node, edge) = Make(
            new FaultRule { Kinds = FaultKinds.Write, First = 2, Action = FaultAction.CutShort, Bytes = 700, Errno = 28 },
            new FaultRule { Kinds = FaultKinds.WriteZeroes, Action = FaultAction.CutShort, Bytes = 512 },
            new FaultRule { Kinds = FaultKinds.Discard, Action = FaultAction.CutShort, Bytes = 0 },
            new FaultRule { Kinds = FaultKinds.Flush, Action = FaultAction.CutShort, Bytes = 100 });
        await edge.WriteAsync(0, Filled(1, 2048));
        await EdgeTests.Refused(() => edge.WriteAsync(0, Filled(2, 2048)), ErrorCode.NoSpace);
        var content = new byte[2048];
        await edge.ReadAsync(0, content);
        Assert.Equal(700, content.AsSpan().IndexOf((byte)1));
        await EdgeTests.Refused(() => edge.WriteZeroesAsync(0, 1024), ErrorCode.Io);
        Assert.Equal(new[] { 0, -1, 1, 1 }, await SectorsAsync(edge, 4));
        await EdgeTests.Refused(() => edge.DiscardAsync(0, 2048), ErrorCode.Io);
        Assert.Equal(new[] { 0, -1, 1, 1 }, await SectorsAsync(edge, 4));
        await EdgeTests.Refused(edge.FlushAsync, ErrorCode.Io);
        await edge.FlushAsync();
        Assert.Equal(4, node.Hits);
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_delayed_request_reaches_the_child_later_and_does_not_hold_up_others()
    {
        var (_, edge) = Make(new FaultRule { Kinds = FaultKinds.Write, Action = FaultAction.Delay, Delay = TimeSpan.FromMilliseconds(60) });
        await edge.WriteAsync(0, ReadOnlyMemory<byte>.Empty);
        var late = edge.WriteAsync(0, Filled(1, 512)).AsTask();
        await edge.WriteAsync(512, Filled(2, 512));
        Assert.Equal(new[] { 0, 2 }, await SectorsAsync(edge, 2));
        Assert.False(late.IsCompleted);
        await late;
        Assert.Equal(new[] { 1, 2 }, await SectorsAsync(edge, 2));
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task Rules_can_be_forgotten_and_numbers_are_checked()
    {
        var (node, edge) = Make(new FaultRule { Count = long.MaxValue });
        await EdgeTests.Refused(() => edge.ReadAsync(0, new byte[1]), ErrorCode.Io);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[1]), ErrorCode.Io);
        node.Clear();
        await edge.WriteAsync(0, new byte[1]);
        Assert.Equal(2, node.Hits);
        foreach (var bad in new[]
        {
            new FaultRule { First = 0 }, new FaultRule { Count = -1 }, new FaultRule { Errno = 0 }, new FaultRule { Errno = 4096 },
            new FaultRule { Bytes = -1 }, new FaultRule { Delay = TimeSpan.FromSeconds(-1) },
        })
        {
            Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => node.Add(bad)).Code);
        }

        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_flush_that_fails_is_tried_again_by_the_next()
    {
        var (node, edge) = Make(new FaultRule { Kinds = FaultKinds.Flush });
        await edge.WriteAsync(0, new byte[512]);
        await EdgeTests.Refused(edge.FlushAsync, ErrorCode.Io);
        await edge.FlushAsync();
        await edge.FlushAsync();
        Assert.Equal(2, node.CountOf(FaultKinds.Flush));
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task It_is_an_ordinary_filter_of_a_graph()
    {
        var graph = new BlockGraph();
        var below = await graph.AttachAsync(new MemoryNode(1 << 20), ChildRole.Filtered | ChildRole.Primary, DefaultPermissions.Writer, "file");
        var edge = await graph.AttachAsync(new FaultNode(below, new FaultOptions()), ChildRole.None, DefaultPermissions.Reader);
        Assert.Equal(DefaultPermissions.Reader, below.Permissions);
        Assert.Equal(1 << 20, edge.Length);
        var extents = new ExtentList();
        extents.Reset(0, edge.Length);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(ExtentState.Zero, Assert.Single(extents.Items.ToArray()).State);
        await graph.SetPermissionsAsync(edge, DefaultPermissions.Writer);
        await edge.WriteAsync(1 << 20, new byte[512]);
        Assert.Equal((1 << 20) + 512, edge.Length);
        extents.Reset(1 << 20, 512);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Same(edge.Node, extents.Items[0].HostNode);
        await edge.DisposeAsync();
        Assert.Empty(graph.Nodes);
    }

    internal static byte[] Filled(byte value, int length)
    {
        var data = new byte[length];
        data.AsSpan().Fill(value);
        return data;
    }

    internal static async Task<int[]> SectorsAsync(BlockEdge edge, int count)
    {
        var result = new int[count];
        var sector = new byte[512];
        for (var i = 0; i < count; i++)
        {
            await edge.ReadAsync(i * 512, sector);
            result[i] = sector.AsSpan().ContainsAnyExcept(sector[0]) ? -1 : sector[0];
        }

        return result;
    }

    private static ValueTask RequestAsync(BlockEdge edge, FaultKinds kind)
    {
        var extents = new ExtentList();
        extents.Reset(0, 4096);
        return kind switch
        {
            FaultKinds.Read => edge.ReadAsync(0, new byte[512]),
            FaultKinds.Write => edge.WriteAsync(0, new byte[512]),
            FaultKinds.WriteZeroes => edge.WriteZeroesAsync(0, 512),
            FaultKinds.Discard => edge.DiscardAsync(0, 512),
            FaultKinds.Flush => edge.FlushAsync(),
            FaultKinds.Resize => edge.ResizeAsync(8192),
            _ => edge.GetExtentsAsync(extents, ExtentPrecision.Layer),
        };
    }

    private static (FaultNode Node, BlockEdge Edge) Make(params FaultRule[] rules)
    {
        var child = new BlockEdge(new MemoryNode(4096), ChildRole.Filtered | ChildRole.Primary, EdgeTests.Everything, "file");
        var node = new FaultNode(child, new FaultOptions { Rules = rules });
        return (node, new BlockEdge(node, ChildRole.None, EdgeTests.Everything));
    }
}
