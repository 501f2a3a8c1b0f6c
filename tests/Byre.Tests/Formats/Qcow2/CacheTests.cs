using System.Runtime.CompilerServices;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What the metadata caches keep.</summary>
public class CacheTests
{
    [Fact]
    public async Task Unused_slices_leave_and_dirty_ones_stay()
    {
        await using var file = new BlockEdge(new MemoryNode(1 << 20), ChildRole.Metadata, TestImage.All, "file");
        var gate = new Lock();
        var cache = new SliceCache(file, gate, 512, 100);
        var dirty = await cache.GetAsync(0);
        lock (gate)
        {
            cache.MarkDirty(dirty);
        }

        for (var i = 1; i < 10; i++)
        {
            await cache.GetAsync(i * 512);
        }

        cache.DropUnused(); // all were used since they came
        Assert.Equal(10, cache.Count);
        Assert.True(cache.TryGet(512, out _));
        cache.DropUnused();
        Assert.Equal(2, cache.Count);
        Assert.True(cache.TryGet(0, out var same) && ReferenceEquals(same, dirty));
        cache.DropUnused();
        cache.DropUnused();
        Assert.Equal(1, cache.Count);
    }

    [Fact]
    public void A_cleaner_keeps_no_cache_alive()
    {
        using var cleaner = StartCleaner(out var cache);
        for (var i = 0; i < 20 && cache.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(cache.IsAlive);
    }

    [Fact]
    public async Task An_idle_image_lets_its_tables_go()
    {
        var file = TestImage.Create(8 << 20, "cluster_size=4k");
        var image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { CacheCleanInterval = TimeSpan.FromMilliseconds(20) });
        var node = (Qcow2Node)image.Node;
        await image.WriteAsync(0, new byte[6 << 20]);
        Assert.InRange(node.CachedSlices.L2, 3, 100);
        for (var i = 0; i < 200 && node.CachedSlices != (0, 0); i++)
        {
            await image.FlushAsync();
            await Task.Delay(20);
        }

        Assert.Equal((0, 0), node.CachedSlices);
        var seen = new byte[6 << 20];
        await image.ReadAsync(0, seen);
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "idle");
    }

    [Theory]
    [InlineData(512, 16)]
    [InlineData(4096, 2)]
    [InlineData(65536, 1)]
    public async Task The_slice_size_is_what_is_read_at_once(int unit, int slices)
    {
        var file = TestImage.Create(64 << 20, "cluster_size=64k");
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, new byte[64 << 20]);
        await image.DisposeAsync();
        image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true, L2SliceBytes = unit });
        var seen = new byte[1];
        for (var at = 0L; at < 64 << 20; at += 65536)
        {
            await image.ReadAsync(at, seen);
        }

        Assert.Equal(slices, ((Qcow2Node)image.Node).CachedSlices.L2);
        await image.DisposeAsync();
    }

    [Theory]
    [InlineData(256)]
    [InlineData(131072)]
    [InlineData(3000)]
    public async Task A_slice_size_that_cannot_be_is_refused(int unit)
    {
        var file = TestImage.Create(1 << 20, "cluster_size=64k");
        var e = await Assert.ThrowsAsync<BlockException>(() => TestImage.OpenAsync(file, new Qcow2OpenOptions { L2SliceBytes = unit }));
        Assert.Equal(ErrorCode.Invalid, e.Code);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static CacheCleaner StartCleaner(out WeakReference cache)
    {
        var made = new SliceCache(new BlockEdge(new MemoryNode(4096), ChildRole.Metadata, TestImage.All, "file"), new Lock(), 512, 100);
        cache = new WeakReference(made);
        return new CacheCleaner(TimeSpan.FromMilliseconds(1), made);
    }
}
