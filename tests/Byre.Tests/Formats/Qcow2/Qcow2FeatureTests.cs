using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Single behaviours of an image, checked by qemu-img.</summary>
public class Qcow2FeatureTests
{
    [Theory]
    [InlineData("cluster_size=512", 100 << 10, 3 << 20)]
    [InlineData("cluster_size=64k", (1 << 20) + 512, 900 << 20)]
    [InlineData("cluster_size=16k,extended_l2=on", 1 << 20, 40 << 20)]
    public async Task An_image_grows_and_shrinks(string options, int size, int larger)
    {
        var file = TestImage.Create(size, options);
        var image = await TestImage.OpenAsync(file);
        var data = TestImage.Bytes(size, 1);
        await image.WriteAsync(0, data);
        await image.ResizeAsync(larger);
        var end = TestImage.Bytes(70000, 2);
        await image.WriteAsync(larger - end.Length, end);
        Assert.Equal(data, await TestImage.ReadAsync(image, 0, size));
        Assert.Equal(new byte[5000], await TestImage.ReadAsync(image, size, 5000));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "grown");

        image = await TestImage.OpenAsync(file);
        Assert.Equal(larger, image.Length);
        Assert.Equal(end, await TestImage.ReadAsync(image, larger - end.Length, end.Length));
        await image.ResizeAsync(size / 2 / 512 * 512);
        await image.ResizeAsync(size);
        Assert.Equal(data[..(size / 2 / 512 * 512)], await TestImage.ReadAsync(image, 0, size / 2 / 512 * 512));
        Assert.Equal(new byte[size / 4], await TestImage.ReadAsync(image, size - (size / 4), size / 4));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "shrunk");
    }

    [Theory]
    [InlineData(Preallocation.Metadata)]
    [InlineData(Preallocation.Full)]
    public async Task A_grown_image_is_preallocated(Preallocation preallocation)
    {
        var file = TestImage.Create(1 << 20, "cluster_size=4k");
        var image = await TestImage.OpenAsync(file);
        await image.ResizeAsync(3 << 20, preallocation);
        Assert.Equal(new byte[3 << 20], await TestImage.ReadAsync(image, 0, 3 << 20));
        var extents = new ExtentList();
        extents.Reset(1 << 20, 2 << 20);
        await image.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.All(extents.Items.ToArray(), e => Assert.Equal(ExtentState.Data, e.State));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "preallocated");
    }

    [Theory]
    [InlineData("cluster_size=512,refcount_bits=64", 4 << 20)]
    [InlineData("cluster_size=512,refcount_bits=1", 4 << 20)]
    public async Task The_refcount_table_grows(string options, int size)
    {
        var file = TestImage.Create(size, options);
        var image = await TestImage.OpenAsync(file);
        var before = ((Qcow2Node)image.Node).Header.RefcountTableOffset;
        var data = TestImage.Bytes(size, 3);
        for (var at = 0; at < size; at += 50000)
        {
            await image.WriteAsync(at, data.AsMemory(at, Math.Min(50000, size - at)));
        }

        Assert.Equal(options.EndsWith("64", StringComparison.Ordinal), ((Qcow2Node)image.Node).Header.RefcountTableOffset != before);
        Assert.Equal(data, await TestImage.ReadAsync(image, 0, size));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "full");
    }

    [Theory]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=16k,extended_l2=on")]
    public async Task A_snapshot_keeps_what_it_had(string options)
    {
        const int Size = 1 << 20;
        var file = TestImage.Create(Size, options);
        var image = await TestImage.OpenAsync(file);
        var old = TestImage.Bytes(Size / 2, 4);
        await image.WriteAsync(1000, old);
        await image.DisposeAsync();

        using var scratch = new TestImage.Scratch();
        var path = scratch.File("s.qcow2");
        await TestImage.SaveAsync(file, path);
        TestImage.QemuImg($"snapshot -c one {path}");
        file = new MemoryNode(File.ReadAllBytes(path));
        image = await TestImage.OpenAsync(file);
        var expected = await TestImage.ReadAsync(image, 0, Size);
        var random = new Random(5);
        for (var i = 0; i < 60; i++)
        {
            var data = TestImage.Bytes(random.Next(1, 20000), i);
            var at = random.Next(Size - data.Length);
            data.CopyTo(expected, at);
            await image.WriteAsync(at, data);
        }

        await image.WriteZeroesAsync(200 << 10, 64 << 10, WriteFlags.MayUnmap);
        Array.Clear(expected, 200 << 10, 64 << 10);
        Assert.Equal(expected, await TestImage.ReadAsync(image, 0, Size));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "after the snapshot");

        await TestImage.SaveAsync(file, path);
        TestImage.QemuImg($"snapshot -a one {path}");
        image = await TestImage.OpenAsync(new MemoryNode(File.ReadAllBytes(path)));
        Assert.Equal(old, await TestImage.ReadAsync(image, 1000, old.Length));
        await image.DisposeAsync();
    }

    [Fact]
    public async Task Sequential_writes_are_one_write_each_to_neighbouring_clusters()
    {
        var file = TestImage.Create(64 << 20, "cluster_size=64k");
        var image = await TestImage.OpenAsync(file);
        var inner = (KeepOpenNode)((Qcow2Node)image.Node).File.Node;
        var data = TestImage.Bytes(1 << 20, 6);
        await image.WriteAsync(0, data);
        var before = inner.Writes;
        for (var at = 1; at < 20; at++)
        {
            await image.WriteAsync((long)at << 20, data);
        }

        Assert.Equal(19, inner.Writes - before);
        Assert.Equal(0, inner.Syncs);
        var extents = new ExtentList();
        extents.Reset(0, 20 << 20);
        await image.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(1, extents.Count);
        var reads = inner.Reads;
        await TestImage.ReadAsync(image, 3 << 20, 10 << 20);
        Assert.Equal(1, inner.Reads - reads);
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "written in order");
    }

    [Fact]
    public async Task The_dirty_bit_is_set_while_refcounts_are_late()
    {
        var file = TestImage.Create(1 << 20, "lazy_refcounts=on");
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, TestImage.Bytes(100000, 7));
        await image.FlushAsync();
        var header = new byte[80];
        await file.ReadAsync(0, header);
        Assert.Equal(1, header[79] & 1);
        await image.DisposeAsync();
        await file.ReadAsync(0, header);
        Assert.Equal(0, header[79] & 1);
        await TestImage.CheckAsync(file, "closed");
    }

    [Fact]
    public async Task Metadata_is_never_overwritten()
    {
        var file = TestImage.Create(1 << 20, "cluster_size=64k");
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, TestImage.Bytes(512, 8));
        await image.DisposeAsync();
        var entry = new byte[8];
        await file.ReadAsync(3 << 16, entry); // the L1 table of a small image is its fourth cluster
        var table = entry.AsSpan(2).ToArray().Aggregate(0L, (a, b) => (a << 8) | b);
        await file.WriteAsync(table, new byte[] { 0x80, 0, 0, 0, 0, 0, 0, 0 }.Zip(BitConverter.GetBytes(table).Reverse(), (a, b) => (byte)(a | b)).ToArray(), WriteFlags.None);
        image = await TestImage.OpenAsync(file);
        var e = await Assert.ThrowsAsync<BlockException>(async () => await image.WriteAsync(0, new byte[512]));
        Assert.Equal(ErrorCode.Corrupt, e.Code);
        await Assert.ThrowsAsync<BlockException>(async () => await image.WriteAsync(65536, new byte[512]));
        await image.DisposeAsync();
        var header = new byte[80];
        await file.ReadAsync(0, header);
        Assert.Equal(2, header[79] & 2);
    }
}
