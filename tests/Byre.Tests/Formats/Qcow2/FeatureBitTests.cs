using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Autoclear bits and what a discard leaves mapped, as bytes in the file.</summary>
public class FeatureBitTests
{
    private const int AutoclearLow = 95; // the last byte of the field

    [Fact]
    public async Task Autoclear_bits_that_nobody_knows_go_when_the_image_is_opened_for_writing_and_only_then()
    {
        var file = TestImage.Create(1 << 20, "cluster_size=4k");
        await file.WriteAsync(AutoclearLow - 7, new byte[] { 0x80, 0, 0, 0, 0, 0, 0x01, 0x88 }, WriteFlags.None);
        foreach (var options in new[] { new Qcow2OpenOptions { ReadOnly = true }, new Qcow2OpenOptions { ForCheck = true } })
        {
            await (await TestImage.OpenAsync(file, options)).DisposeAsync();
            Assert.Equal("8000000000000188", await AutoclearAsync(file));
        }

        await (await TestImage.OpenAsync(file)).DisposeAsync();
        Assert.Equal("0000000000000000", await AutoclearAsync(file));
        await TestImage.CheckAsync(file, "opened");
    }

    [Fact]
    public async Task The_all_zero_bit_goes_durably_before_the_first_write_and_stays_with_zeroes()
    {
        foreach (var preallocation in new[] { Preallocation.Off, Preallocation.Metadata })
        {
            var file = new MemoryNode(0);
            await using (var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.None, TestImage.All))
            {
                await Qcow2Creator.CreateAsync(edge, null, new Qcow2CreateOptions { Size = 1 << 20, Preallocation = preallocation });
            }

            Assert.Equal("0000000000000004", await AutoclearAsync(file));
            var image = await TestImage.OpenAsync(file);
            await image.WriteZeroesAsync(0, 1 << 20, WriteFlags.MayUnmap);
            await image.DiscardAsync(0, 1 << 20);
            await image.ResizeAsync(2 << 20);
            await image.FlushAsync();
            Assert.True(((Qcow2Node)image.Node).IsKnownZero);
            await image.DisposeAsync();
            Assert.Equal("0000000000000004", await AutoclearAsync(file));
            await AssertHeaderGoesFirstAsync(file, e => e.WriteAsync(65536, new byte[512]), "0000000000000000");
            await TestImage.CheckAsync(file, "written");
        }
    }

    [Theory]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=16k,extended_l2=on")]
    public async Task A_discard_without_unref_keeps_the_place(string options)
    {
        var file = TestImage.Create(1 << 20, options);
        var image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { DiscardNoUnref = true });
        await image.WriteAsync(0, Enumerable.Repeat((byte)7, 1 << 20).ToArray());
        await image.FlushAsync();
        var (before, length) = (await PlaceAsync(image, 0), file.Length);
        Assert.Equal(ExtentState.Data, before.State);
        await image.DiscardAsync(0, 1 << 20);
        await image.WriteZeroesAsync(0, 512 << 10, WriteFlags.MayUnmap);
        await image.FlushAsync();
        var after = await PlaceAsync(image, 0);
        Assert.Equal((ExtentState.Zero, ExtentFlags.Reserved), (after.State, after.Flags & (ExtentFlags.Reserved | ExtentFlags.Hole)));
        var seen = new byte[1 << 20];
        await image.ReadAsync(0, seen);
        Assert.Equal(new byte[1 << 20], seen);
        await image.WriteAsync(0, Enumerable.Repeat((byte)8, 1 << 20).ToArray());
        await image.FlushAsync();
        Assert.Equal(before.HostOffset, (await PlaceAsync(image, 0)).HostOffset);
        Assert.Equal(length, file.Length);
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "discarded");
    }

    [Fact]
    public async Task Version_2_cannot_keep_the_place()
    {
        var file = TestImage.Create(1 << 20, "compat=0.10");
        var e = await Assert.ThrowsAsync<BlockException>(() => TestImage.OpenAsync(file, new Qcow2OpenOptions { DiscardNoUnref = true }));
        Assert.Equal(ErrorCode.Invalid, e.Code);
    }

    /// <summary>The first thing that a change does to the file is to write the header, and the second a flush.</summary>
    private static async Task AssertHeaderGoesFirstAsync(MemoryNode file, Func<BlockEdge, ValueTask> change, string expected)
    {
        var log = new WriteLogNode(new BlockEdge(new KeepOpenNode(file), ChildRole.Filtered | ChildRole.Primary, TestImage.All, "file"));
        var edge = new BlockEdge(log, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var node = await Qcow2Node.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), null, null, new Qcow2OpenOptions());
        await using (var image = new BlockEdge(node, ChildRole.None, TestImage.All))
        {
            await change(image);
            Assert.Equal((WriteLogKind.Write, 0L), (log.Entries[0].Kind, log.Entries[0].Offset));
            Assert.Equal(expected, Convert.ToHexStringLower(log.Entries[0].Data.Span.Slice(AutoclearLow - 7, 8)));
            Assert.Equal(WriteLogKind.Flush, log.Entries[1].Kind);
            Assert.Single(log.Entries, e => e.Kind == WriteLogKind.Write && e.Offset == 0);
        }
    }

    private static async Task<string> AutoclearAsync(MemoryNode file)
    {
        var field = new byte[8];
        await file.ReadAsync(AutoclearLow - 7, field);
        return Convert.ToHexStringLower(field);
    }

    private static async Task<BlockExtent> PlaceAsync(BlockEdge image, long at)
    {
        var extents = new ExtentList();
        extents.Reset(at, 4096);
        await image.GetExtentsAsync(extents, ExtentPrecision.Layer);
        return extents.Items[0];
    }
}
