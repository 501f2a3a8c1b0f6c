using Byre.Formats.Raw;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Formats.Raw;

public class RawNodeTests
{
    [Fact]
    public async Task A_window_reads_and_writes_its_part_of_the_file()
    {
        var content = Enumerable.Range(0, 4096).Select(i => (byte)(i / 512 + 1)).ToArray();
        var (file, edge) = Open(new MemoryNode(content), new RawOptions { Offset = 1024, Size = 1536 });
        Assert.Equal(1536, edge.Length);
        var buffer = new byte[1536];
        await edge.ReadAsync(0, buffer);
        Assert.Equal(content.AsSpan(1024, 1536).ToArray(), buffer);
        await edge.WriteAsync(512, new byte[] { 99 });
        await edge.WriteZeroesAsync(1024, 512);
        await EdgeTests.Refused(() => edge.ReadAsync(1536, new byte[1]), ErrorCode.OutOfRange);
        await EdgeTests.Refused(() => edge.WriteAsync(1530, new byte[10]), ErrorCode.OutOfRange);
        await EdgeTests.Refused(() => edge.ResizeAsync(2048), ErrorCode.NotSupported);
        content[1536] = 99;
        content.AsSpan(2048, 512).Clear();
        var all = new byte[4096];
        await file.ReadAsync(0, all);
        Assert.Equal(content, all);
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task An_odd_end_is_rounded_up_and_reads_as_zeroes()
    {
        var content = new byte[1000];
        content.AsSpan().Fill(7);
        var (file, edge) = Open(new MemoryNode(content), new RawOptions());
        Assert.Equal(1024, edge.Length);
        var buffer = new byte[100];
        buffer.AsSpan().Fill(1);
        await edge.ReadAsync(924, buffer);
        Assert.Equal(76, buffer.AsSpan().IndexOf((byte)0));
        Assert.False(buffer.AsSpan(76).ContainsAnyExcept((byte)0));
        buffer.AsSpan().Fill(1);
        await edge.ReadAsync(1010, buffer.AsMemory(0, 14));
        Assert.False(buffer.AsSpan(0, 14).ContainsAnyExcept((byte)0));
        await edge.DiscardAsync(1010, 14);
        var extents = new ExtentList();
        extents.Reset(0, 1024);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.True(extents.IsComplete);
        Assert.Equal((1000, ExtentState.Zero), (extents.Items[^1].Start, extents.Items[^1].State));
        await edge.WriteAsync(1010, new byte[] { 5 });
        Assert.Equal(1011, file.Length);
        Assert.Equal(1024, edge.Length);
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_window_may_begin_anywhere()
    {
        var content = Enumerable.Range(0, 4096).Select(i => (byte)(i % 251)).ToArray();
        var (_, edge) = Open(new MemoryNode(content), new RawOptions { Offset = 100 });
        Assert.Equal(4096, edge.Length); // 3996 bytes, in whole sectors
        var buffer = new byte[4096];
        await edge.ReadAsync(0, buffer);
        Assert.Equal([.. content[100..], .. new byte[100]], buffer);
        await edge.WriteAsync(0, new byte[] { 7 });
        await edge.ReadAsync(0, buffer.AsMemory(0, 2));
        Assert.Equal([7, content[101]], buffer[..2]);
        await edge.DisposeAsync();
    }

    [Theory]
    [InlineData(-512L, null)]
    [InlineData(8192L, null)]
    [InlineData(0L, 100L)]
    [InlineData(0L, -512L)]
    [InlineData(0L, 8192L)]
    [InlineData(3584L, 1024L)]
    [InlineData(512L, long.MaxValue - 511)]
    public async Task Windows_that_the_file_does_not_have_are_refused(long offset, long? size)
    {
        await using var file = new BlockEdge(new ModelNode(new byte[4096], BlockLimits.Default), ChildRole.None, EdgeTests.Everything);
        var e = Assert.Throws<BlockException>(() => RawNode.Open(file, new RawOptions { Offset = offset, Size = size }));
        Assert.Equal(ErrorCode.Invalid, e.Code);
        Assert.Contains("'model'", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_probed_disk_cannot_be_made_to_look_like_another_format()
    {
        var (_, edge) = Open(new MemoryNode(4096), new RawOptions { WasProbed = true });
        await edge.WriteAsync(0, "QFI"u8.ToArray());
        await EdgeTests.Refused(() => edge.WriteAsync(3, new byte[] { 0xfb, 0, 0, 0, 3 }), ErrorCode.NotPermitted);
        var buffer = new byte[8];
        await edge.ReadAsync(0, buffer);
        Assert.Equal("QFI\0\0\0\0\0"u8.ToArray(), buffer);
        await edge.WriteAsync(0, "harmless"u8.ToArray());
        await edge.WriteAsync(512, "QFI\u00fb\0\0\0\u0003"u8.ToArray());
        await edge.DisposeAsync();

        (_, edge) = Open(new MemoryNode(4096), new RawOptions());
        await edge.WriteAsync(0, new byte[] { (byte)'Q', (byte)'F', (byte)'I', 0xfb, 0, 0, 0, 3 });
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task Extents_are_those_of_the_file_moved_by_the_window()
    {
        var memory = new MemoryNode(6 * 65_536);
        var (file, edge) = Open(memory, new RawOptions { Offset = 65_536, Size = 4 * 65_536 });
        await file.WriteAsync(3 * 65_536, new byte[1]);
        var extents = new ExtentList();
        extents.Reset(0, 4 * 65_536);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Exact);
        Assert.Equal(
            [(0, ExtentState.Zero), (2 * 65_536, ExtentState.Data), (3 * 65_536, ExtentState.Zero)],
            extents.Items.ToArray().Select(e => (e.Start, e.State)));
        Assert.Equal((3 * 65_536, memory), (extents.Items[1].HostOffset, extents.Items[1].HostNode));
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task The_whole_file_is_resized_and_grows_by_writes()
    {
        var (file, edge) = Open(new MemoryNode(1024), new RawOptions());
        await edge.ResizeAsync(2048);
        Assert.Equal((2048, 2048), (file.Length, edge.Length));
        await edge.WriteAsync(4096, new byte[512]);
        Assert.Equal(4608, edge.Length);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[512], WriteFlags.Compressed), ErrorCode.NotSupported);
        await edge.DisposeAsync();
    }

    private static (BlockEdge File, BlockEdge Edge) Open(BlockNode node, RawOptions options)
    {
        var file = new BlockEdge(node, ChildRole.Data | ChildRole.Primary | ChildRole.Filtered, EdgeTests.Everything, "file");
        return (file, new BlockEdge(RawNode.Open(file, options), ChildRole.None, EdgeTests.Everything));
    }
}
