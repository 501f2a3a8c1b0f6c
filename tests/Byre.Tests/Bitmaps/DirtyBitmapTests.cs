using Byre.Bitmaps;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Bitmaps;

/// <summary>What a bitmap promises its users, and what the requests of a node promise its bitmaps.</summary>
public class DirtyBitmapTests
{
    private static readonly PermissionSet All = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("", 512)]
    [InlineData("b", 0)]
    [InlineData("b", 256)]
    [InlineData("b", 513)]
    [InlineData("b", 1L << 32)]
    public void Names_and_granularities_out_of_range_are_refused(string name, long granularity) =>
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => new DirtyBitmap(name, 1 << 20, granularity)).Code);

    [Fact]
    public void A_name_has_up_to_1023_bytes_of_utf8()
    {
        Assert.Equal(1023, new DirtyBitmap(new string('x', 1023), 512, 512).Name.Length);
        Assert.Throws<BlockException>(() => new DirtyBitmap(new string('x', 1024), 512, 512));
        Assert.Throws<BlockException>(() => new DirtyBitmap(new string('ü', 512), 512, 512));
    }

    [Fact]
    public void A_range_dirties_every_unit_it_touches_and_ends_with_the_disk()
    {
        var bitmap = new DirtyBitmap("b", 10_000, 4096);
        bitmap.Set(4095, 2);
        Assert.Equal(8192, bitmap.DirtyBytes);
        Assert.True(bitmap.TryNextDirty(0, long.MaxValue, out var start, out var count));
        Assert.Equal((0, 8192), (start, count));
        Assert.Equal(8192, bitmap.NextClean(0, 10_000));
        bitmap.Set(9_999, 500);
        Assert.True(bitmap.TryNextDirty(5_000, 9_500, out start, out count));
        Assert.Equal((5_000, 4_500), (start, count));
        bitmap.Reset(4096, 1);
        Assert.True(bitmap.TryNextDirty(4096, long.MaxValue, out start, out count));
        Assert.Equal((8192, 10_000 - 8192), (start, count));
    }

    [Fact]
    public void Merging_takes_all_that_is_dirty_whatever_the_granularities()
    {
        foreach (var (to, from) in new[] { (512L, 65_536L), (65_536L, 512L), (4096L, 4096L) })
        {
            var random = new Random(4);
            const int length = 40_000_000;
            var source = new DirtyBitmap("s", length, from);
            var target = new DirtyBitmap("t", length, to);
            target.Set(20_000_000, 1);
            for (var i = 0; i < 50; i++)
            {
                source.Set(random.Next(length), random.Next(200_000));
            }

            target.Merge(source);
            for (var at = 0L; at < length; at += 512)
            {
                var unit = at & -to;
                var end = Math.Min(length, unit + to);
                var expected = source.TryNextDirty(unit, end, out _, out _) || unit == (20_000_000 & -to);
                Assert.True(expected == target.IsDirty(at), $"{from} into {to}: byte {at}");
            }
        }
    }

    [Fact]
    public void What_cannot_be_merged_is_refused()
    {
        var bitmap = new DirtyBitmap("b", 1 << 20, 512);
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => bitmap.Merge(new DirtyBitmap("c", 1 << 21, 512))).Code);
        var broken = new DirtyBitmap("c", 1 << 20, 512, isInconsistent: true);
        Assert.Throws<BlockException>(() => bitmap.Merge(broken));
        Assert.Throws<BlockException>(() => broken.Merge(bitmap));
        Assert.Throws<BlockException>(() => broken.Enable(true));
        Assert.Throws<BlockException>(broken.Clear);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_frozen_bitmap_stands_still_and_loses_nothing(bool isDone)
    {
        var bitmap = new DirtyBitmap("b", 1 << 20, 512);
        bitmap.Enable(true);
        bitmap.Record(0, 512);
        bitmap.Freeze();
        Assert.Equal(ErrorCode.Busy, Assert.Throws<BlockException>(bitmap.Clear).Code);
        bitmap.Record(4096, 512);
        Assert.Equal((true, 512), (bitmap.IsBusy, bitmap.DirtyBytes));
        bitmap.Thaw(isDone);
        Assert.Equal((!isDone, true), (bitmap.IsDirty(0), bitmap.IsDirty(4096)));
        bitmap.Clear();
        Assert.Equal(0, bitmap.DirtyBytes);
    }

    [Fact]
    public async Task Every_change_through_an_edge_is_recorded()
    {
        var node = new MemoryNode(new byte[1 << 20]);
        await using var edge = new BlockEdge(node, ChildRole.None, All);
        await edge.WriteAsync(0, new byte[512]); // before there is a bitmap
        var bitmap = Follow(node);
        var off = new DirtyBitmap("off", node.Length, 512);
        node.TrackBitmaps().Add(off);
        await edge.WriteAsync(4096, new byte[512]);
        await edge.WriteZeroesAsync(8192, 1024);
        await edge.DiscardAsync(16_384, 512);
        await using (var lease = await edge.LockRangeAsync(32_768, 4096))
        {
            await lease.WriteAsync(32_768, new byte[512]);
            await lease.WriteZeroesAsync(33_792, 512);
        }

        await edge.WriteAsync(65_000, new byte[3]);
        Assert.Equal([4096, 8192, 8704, 16_384, 32_768, 33_792, 64_512], DirtySectors(bitmap));
        Assert.Equal(0, off.DirtyBytes);
        Assert.True(node.TrackBitmaps().Remove(bitmap));
        await edge.WriteAsync(0, new byte[512]);
        Assert.False(bitmap.IsDirty(0));
    }

    [Fact]
    public async Task A_change_that_fails_is_recorded_too()
    {
        var node = new FailingNode(1 << 20);
        await using var edge = new BlockEdge(node, ChildRole.None, All);
        var bitmap = Follow(node);
        await Assert.ThrowsAsync<BlockException>(() => edge.WriteAsync(4096, new byte[512]).AsTask());
        await Assert.ThrowsAsync<BlockException>(() => edge.WriteZeroesAsync(8192, 512).AsTask());
        await Assert.ThrowsAsync<BlockException>(() => edge.DiscardAsync(16_384, 512).AsTask());
        Assert.Equal([4096, 8192, 16_384], DirtySectors(bitmap));
        node.IsLate = true;
        await Assert.ThrowsAsync<BlockException>(() => edge.WriteAsync(32_768, new byte[512]).AsTask());
        Assert.True(bitmap.IsDirty(32_768));
    }

    [Theory]
    [InlineData(0L, 0L)]
    [InlineData(1024L, 1024L)]
    [InlineData(-1L, 4096L)]
    public async Task What_the_kernel_copied_is_recorded_and_all_of_it_where_that_fails(long copied, long recorded)
    {
        var node = new FailingNode(1 << 20) { Copied = copied };
        await using var edge = new BlockEdge(node, ChildRole.None, All);
        await using var source = new BlockEdge(new MemoryNode(new byte[1 << 20]), ChildRole.None, All);
        var bitmap = Follow(node);
        try
        {
            Assert.Equal(copied, await edge.CopyRangeAsync(8192, source.Node, 0, 4096, default));
        }
        catch (BlockException) when (copied < 0)
        {
            // as it should
        }

        Assert.Equal(recorded, bitmap.DirtyBytes);
        Assert.True(recorded == 0 || bitmap.IsDirty(8192));
    }

    [Fact]
    public async Task A_file_that_grows_takes_its_bitmaps_along()
    {
        var node = new MemoryNode(new byte[512]);
        await using var edge = new BlockEdge(node, ChildRole.None, All);
        var bitmap = Follow(node);
        await Task.WhenAll(Enumerable.Range(0, 64).Select(i => Task.Run(() => edge.WriteAsync(i * 512, new byte[512]).AsTask())));
        Assert.Equal((64 * 512, 64 * 512), (bitmap.Length, bitmap.DirtyBytes));
    }

    [Fact]
    public async Task A_bitmap_follows_its_node_to_another_length()
    {
        var node = new MemoryNode(new byte[1 << 20]);
        await using var edge = new BlockEdge(node, ChildRole.None, All);
        var bitmap = Follow(node);
        await edge.WriteAsync((1 << 20) - 512, new byte[512]);
        await edge.ResizeAsync(2 << 20);
        await edge.WriteAsync((2 << 20) - 512, new byte[512]);
        Assert.Equal([(1 << 20) - 512, (2 << 20) - 512], DirtySectors(bitmap));
        await edge.ResizeAsync(1 << 20);
        Assert.Equal([(1 << 20) - 512], DirtySectors(bitmap));
        Assert.Equal(1 << 20, bitmap.Length);
        bitmap.Freeze();
        Assert.Equal(ErrorCode.Busy, (await Assert.ThrowsAsync<BlockException>(() => edge.ResizeAsync(2 << 20).AsTask())).Code);
        Assert.Equal(1 << 20, node.Length);
    }

    [Fact]
    public void Two_bitmaps_of_one_name_do_not_share_a_node()
    {
        var tracker = new BitmapTracker();
        tracker.Add(new DirtyBitmap("b", 512, 512));
        Assert.Equal(ErrorCode.Exists, Assert.Throws<BlockException>(() => tracker.Add(new DirtyBitmap("b", 512, 512))).Code);
    }

    private static DirtyBitmap Follow(BlockNode node)
    {
        var bitmap = new DirtyBitmap("b", node.Length, 512);
        bitmap.Enable(true);
        node.TrackBitmaps().Add(bitmap);
        return bitmap;
    }

    private static List<long> DirtySectors(DirtyBitmap bitmap)
    {
        var result = new List<long>();
        for (long at = 0; at < bitmap.Length; at += 512)
        {
            if (bitmap.IsDirty(at))
            {
                result.Add(at);
            }
        }

        return result;
    }

    /// <summary>Fails every change, at once or late.</summary>
    private sealed class FailingNode(long length) : BlockNode, ICopyRangeTarget
    {
        public long Copied { get; init; }

        public bool IsLate { get; set; }

        public override string DriverName => "failing";

        public override long Length => length;

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => default;

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => FailAsync();

        public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
        {
            await FailAsync();
            return true;
        }

        public override ValueTask DiscardAsync(long offset, long length) => FailAsync();

        public async ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
        {
            if (Copied < 0)
            {
                await FailAsync();
            }

            return Copied;
        }

        public bool MayShareBlocks(BlockNode source) => false;

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => throw new NotSupportedException();

        private async ValueTask FailAsync()
        {
            if (IsLate)
            {
                await Task.Yield();
            }

            throw new BlockException(ErrorCode.Io, "it fails");
        }
    }
}
