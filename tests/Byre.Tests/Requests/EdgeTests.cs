using Byre.Nodes;

namespace Byre.Tests.Requests;

public class EdgeTests
{
    internal static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Fact]
    public async Task The_last_edge_that_leaves_closes_the_node_and_only_once()
    {
        var node = new ModelNode(new byte[100], BlockLimits.Default);
        var a = new BlockEdge(node, ChildRole.None, Everything);
        var b = new BlockEdge(node, ChildRole.None, Everything);
        await a.DisposeAsync();
        await a.DisposeAsync();
        Assert.False(node.IsDisposed);
        await b.ReadAsync(0, new byte[10]);
        await b.DisposeAsync();
        await b.DisposeAsync();
        Assert.Equal(1, node.Disposals);
        Assert.Throws<ObjectDisposedException>(() => new BlockEdge(node, ChildRole.None, Everything));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.ReadAsync(0, new byte[10]));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.WriteAsync(0, new byte[10]));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.WriteZeroesAsync(0, 10));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.DiscardAsync(0, 10));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await b.FlushAsync());
    }

    [Fact]
    public async Task Closing_flushes_what_was_written_and_waits_for_requests_in_flight()
    {
        var node = new GatedNode(100) { GatesSyncs = true };
        var edge = new BlockEdge(node, ChildRole.None, Everything);
        var write = edge.WriteAsync(0, new byte[10]).AsTask();
        var closing = edge.DisposeAsync().AsTask();
        Assert.False(closing.IsCompleted);
        node.Complete(Assert.Single(node.InFlight));
        await write;
        await Until(() => node.InFlight.Count == 1);
        Assert.Equal("sync", node.InFlight[0].Kind);
        node.CompleteAll();
        await closing;
    }

    [Fact]
    public async Task Children_learn_their_parent()
    {
        var child = new BlockEdge(new ModelNode(new byte[100], BlockLimits.Default), ChildRole.Primary, Everything, "file");
        Assert.Null(child.Parent);
        var parent = new PassNode(child);
        await using var edge = new BlockEdge(parent, ChildRole.None, Everything);
        Assert.Same(parent, child.Parent);
        Assert.Same(edge, Assert.Single(parent.Parents));
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(0, 1001)]
    [InlineData(1000, 1)]
    [InlineData(1001, 0)]
    [InlineData(long.MaxValue, 1)]
    [InlineData(long.MaxValue, int.MaxValue)]
    [InlineData(long.MinValue, 1)]
    public async Task Ranges_outside_of_the_node_are_refused(long offset, int length)
    {
        foreach (var alignment in new[] { 1, 512 })
        {
            await using var edge = new BlockEdge(
                new ModelNode(new byte[1000], BlockLimits.Default with { RequestAlignment = alignment }), ChildRole.None, Everything);
            var buffer = new byte[Math.Min(length, 2000)];
            await Refused(() => edge.ReadAsync(offset, buffer), ErrorCode.OutOfRange);
            await Refused(() => edge.WriteAsync(offset, buffer), ErrorCode.OutOfRange);
            await Refused(() => edge.WriteZeroesAsync(offset, length), ErrorCode.OutOfRange);
            await Refused(() => edge.DiscardAsync(offset, length), ErrorCode.OutOfRange);
        }
    }

    [Fact]
    public async Task Empty_ranges_do_nothing()
    {
        var node = new ModelNode(new byte[1000], BlockLimits.Default);
        await using var edge = new BlockEdge(node, ChildRole.None, Everything);
        await edge.ReadAsync(1000, Memory<byte>.Empty);
        await edge.WriteAsync(1000, Memory<byte>.Empty);
        await edge.WriteZeroesAsync(1000, 0);
        await edge.DiscardAsync(1000, 0);
        Assert.Equal("", node.TakeLog(events: true));
    }

    [Fact]
    public async Task Changes_need_their_permission()
    {
        var node = new ModelNode(new byte[1000], BlockLimits.Default);
        await using var reader = new BlockEdge(node, ChildRole.None, new(Permissions.ConsistentRead, Permissions.All));
        await using var copier = new BlockEdge(node, ChildRole.None, new(Permissions.WriteUnchanged, Permissions.All));
        await Refused(() => reader.WriteAsync(0, new byte[1]), ErrorCode.NotPermitted);
        await Refused(() => reader.WriteAsync(0, new byte[1], WriteFlags.Unchanged), ErrorCode.NotPermitted);
        await Refused(() => reader.WriteZeroesAsync(0, 1), ErrorCode.NotPermitted);
        await Refused(() => reader.DiscardAsync(0, 1), ErrorCode.NotPermitted);
        await Refused(() => reader.ResizeAsync(1), ErrorCode.NotPermitted);
        await Refused(() => copier.WriteAsync(0, new byte[1]), ErrorCode.NotPermitted);
        await copier.WriteAsync(0, new byte[1], WriteFlags.Unchanged);
        await copier.WriteZeroesAsync(0, 1, WriteFlags.Unchanged);
        await Refused(() => copier.ResizeAsync(1), ErrorCode.NotPermitted);
        await reader.FlushAsync();
        node.ReadOnly = true;
        await using var writer = new BlockEdge(node, ChildRole.None, Everything);
        await Refused(() => writer.WriteAsync(0, new byte[1]), ErrorCode.ReadOnly);
        await Refused(() => writer.WriteAsync(0, new byte[1], WriteFlags.Unchanged), ErrorCode.ReadOnly);
        await Refused(() => writer.ResizeAsync(1), ErrorCode.ReadOnly);
        await writer.ReadAsync(0, new byte[1]);
    }

    [Fact]
    public async Task Compressed_writes_need_a_driver_that_compresses()
    {
        var node = new ModelNode(new byte[1000], BlockLimits.Default);
        await using var edge = new BlockEdge(node, ChildRole.None, Everything);
        await Refused(() => edge.WriteAsync(0, new byte[1], WriteFlags.Compressed), ErrorCode.NotSupported);
        node.Supported = WriteFlags.Compressed;
        await edge.WriteAsync(0, new byte[1], WriteFlags.Compressed);
    }

    internal static async Task Refused(Func<ValueTask> request, ErrorCode code)
    {
        var e = await Assert.ThrowsAsync<BlockException>(async () => await request());
        Assert.Equal(code, e.Code);
    }

    internal static async Task Until(Func<bool> condition)
    {
        for (var i = 0; !condition(); i++)
        {
            Assert.True(i < 5000, "It does not happen.");
            await Task.Delay(1);
        }
    }

    /// <summary>A node that only passes requests to its child.</summary>
    internal sealed class PassNode(BlockEdge child) : BlockNode
    {
        public override string DriverName => "pass";

        public override long Length => child.Length;

        public override IReadOnlyList<BlockEdge> Children { get; } = [child];

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => child.ReadAsync(offset, buffer);

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => child.WriteAsync(offset, data, flags);

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => child.GetExtentsAsync(extents, precision);
    }
}
