using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What is left of an image that was made shorter or longer; qemu-img checks each.</summary>
public class ResizeTests
{
    [Theory]
    [InlineData("cluster_size=64k", 4L << 30)]
    [InlineData("cluster_size=4k,refcount_bits=64", 64L << 20)]
    [InlineData("cluster_size=512", 4L << 20)]
    [InlineData("cluster_size=16k,extended_l2=on", 256L << 20)]
    [InlineData("cluster_size=4k,compat=0.10", 64L << 20)]
    [InlineData("cluster_size=4k,lazy_refcounts=on", 64L << 20)]
    public async Task Shrinking_gives_up_tables_blocks_and_the_end_of_the_file(string options, long size)
    {
        var file = TestImage.Create(size, options);
        var fresh = file.Length;
        var image = await TestImage.OpenAsync(file);
        var kept = TestImage.Bytes(3000, 1);
        await image.WriteAsync(1000, kept);
        for (var i = 1; i < 16; i++)
        {
            await image.WriteAsync((size / 16 * i) - 700, TestImage.Bytes(100_000, i));
        }

        var before = file.Length;
        await image.ResizeAsync(65536);
        Assert.InRange(file.Length, 1, Math.Min(before - 1_000_000, fresh + (128 << 10) + (6 * ((Qcow2Node)image.Node).Header.ClusterSize)));
        Assert.Equal(kept, await TestImage.ReadAsync(image, 1000, kept.Length));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "shrunk");

        image = await TestImage.OpenAsync(file);
        await image.ResizeAsync(size);
        Assert.Equal(new byte[300_000], await TestImage.ReadAsync(image, (size / 16) - 100_000, 300_000));
        await image.WriteAsync(size - 5000, TestImage.Bytes(5000, 3));
        Assert.Equal(TestImage.Bytes(5000, 3), await TestImage.ReadAsync(image, size - 5000, 5000));
        Assert.Equal(kept, await TestImage.ReadAsync(image, 1000, kept.Length));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "grown again");
    }

    [Fact]
    public async Task Refcount_blocks_that_count_nothing_more_go()
    {
        var file = TestImage.Create(64 << 20, "cluster_size=512,refcount_bits=64"); // a block counts 32 KiB
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, TestImage.Bytes(1 << 20, 1));
        await image.FlushAsync();
        var before = await CountBlocksAsync(file);
        await image.ResizeAsync(100 << 10);
        await image.DisposeAsync();
        Assert.InRange(await CountBlocksAsync(file), 2, before - 20);
        Assert.InRange(file.Length, 100 << 10, 200 << 10);
        await TestImage.CheckAsync(file, "shrunk");

        image = await TestImage.OpenAsync(file);
        Assert.Equal(TestImage.Bytes(1 << 20, 1).AsSpan(0, 100 << 10).ToArray(), await TestImage.ReadAsync(image, 0, 100 << 10));
        await image.ResizeAsync(2 << 20);
        await image.WriteAsync(0, TestImage.Bytes(2 << 20, 2));
        Assert.Equal(TestImage.Bytes(2 << 20, 2), await TestImage.ReadAsync(image, 0, 2 << 20));
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "full again");
    }

    [Theory]
    [InlineData("cluster_size=4k,compat=0.10")]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=16k,extended_l2=on")]
    public async Task A_longer_backing_file_does_not_come_to_light(string options)
    {
        var backing = new MemoryNode(1 << 20);
        await backing.WriteAsync(0, TestImage.Bytes(1 << 20, 5), WriteFlags.None);
        foreach (var length in new[] { 400_384, 1 << 20, 3 << 20 })
        {
            var file = TestImage.Create(300_032, options);
            var image = await TestImage.OpenAsync(file, backing: backing);
            await image.ResizeAsync(length);
            var expected = new byte[length];
            TestImage.Bytes(1 << 20, 5).AsSpan(0, 300_032).CopyTo(expected);
            Assert.Equal(expected, await TestImage.ReadAsync(image, 0, length));
            await image.DisposeAsync();
            await TestImage.CheckAsync(file, $"grown to {length}");
        }
    }

    [Fact]
    public async Task Snapshots_keep_their_disk_when_the_active_one_is_resized()
    {
        foreach (var version in new[] { "0.10", "1.1" })
        {
            var file = TestImage.Create(2 << 20, $"cluster_size=4k,compat={version}");
            var image = await TestImage.OpenAsync(file);
            await image.WriteAsync(0, TestImage.Bytes(2 << 20, 6));
            await image.DisposeAsync();
            using var scratch = new TestImage.Scratch();
            var path = scratch.File("s.qcow2");
            await TestImage.SaveAsync(file, path);
            TestImage.QemuImg($"snapshot -c one {path}");
            file = new MemoryNode(File.ReadAllBytes(path));
            image = await TestImage.OpenAsync(file);
            if (version == "0.10")
            {
                foreach (var length in new[] { 1 << 20, 4 << 20 })
                {
                    Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(async () => await image.ResizeAsync(length))).Code);
                }

                await image.DisposeAsync();
                continue;
            }

            await image.ResizeAsync(512 << 10);
            Assert.Equal(TestImage.Bytes(2 << 20, 6).AsSpan(0, 512 << 10).ToArray(), await TestImage.ReadAsync(image, 0, 512 << 10));
            await image.DisposeAsync();
            await TestImage.CheckAsync(file, "shrunk with a snapshot");
            await TestImage.SaveAsync(file, path);
            TestImage.QemuImg($"snapshot -a one {path}");
            image = await TestImage.OpenAsync(new MemoryNode(File.ReadAllBytes(path)));
            Assert.Equal(TestImage.Bytes(2 << 20, 6), await TestImage.ReadAsync(image, 0, 2 << 20));
            await image.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("cluster_size=4k", Preallocation.Metadata)]
    [InlineData("cluster_size=4k", Preallocation.Falloc)]
    [InlineData("cluster_size=4k", Preallocation.Full)]
    [InlineData("cluster_size=16k,extended_l2=on", Preallocation.Full)]
    [InlineData("cluster_size=4k,data_file=data.raw", Preallocation.Off)]
    [InlineData("cluster_size=4k,data_file=data.raw", Preallocation.Full)]
    [InlineData("cluster_size=4k,data_file=data.raw,data_file_raw=on", Preallocation.Off)]
    [InlineData("cluster_size=4k,data_file=data.raw,data_file_raw=on", Preallocation.Metadata)]
    public async Task Grown_space_is_zero_and_has_its_place(string options, Preallocation preallocation)
    {
        const int Old = (1 << 20) + 512;
        const int New = 3 << 20;
        var file = TestImage.Create(Old, options);
        var data = options.Contains("data_file=", StringComparison.Ordinal) ? new MemoryNode(Old) : null;
        var image = await TestImage.OpenAsync(file, dataFile: data);
        await image.WriteAsync(0, TestImage.Bytes(Old, 7));
        await image.ResizeAsync(New, preallocation);
        var expected = new byte[New];
        TestImage.Bytes(Old, 7).CopyTo(expected, 0);
        Assert.Equal(expected, await TestImage.ReadAsync(image, 0, New));
        var extents = new ExtentList();
        extents.Reset(Old + 65536, New - Old - 65536);
        await image.GetExtentsAsync(extents, ExtentPrecision.Layer);
        var mapped = preallocation != Preallocation.Off || options.Contains("raw=on", StringComparison.Ordinal);
        for (var i = 0; i < extents.Count; i++)
        {
            Assert.Equal(mapped, !extents.Items[i].IsHole);
        }

        var end = file.Length;
        await image.WriteAsync(2 << 20, TestImage.Bytes(4096, 8));
        Assert.Equal(mapped || data is not null, file.Length == end);
        await image.ResizeAsync(1 << 20);
        Assert.Equal(data is null ? 0 : 1 << 20, data?.Length ?? 0);
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "grown and shrunk", data);
    }

    /// <summary>Each request of a resize fails once; what is on disk is then whole but for leaks, and the image goes on.</summary>
    [Theory]
    [InlineData("cluster_size=512", 3 << 20, 200 << 10, Preallocation.Off)]
    [InlineData("cluster_size=512", 200 << 10, 1 << 20, Preallocation.Metadata)]
    [InlineData("cluster_size=512", 200 << 10, 600 << 10, Preallocation.Full)]
    [InlineData("cluster_size=4k,compat=0.10", 200 << 10, 600 << 10, Preallocation.Off)]
    public async Task A_resize_that_fails_anywhere_harms_nothing(string options, int from, int to, Preallocation preallocation)
    {
        var backing = options.Contains("0.10", StringComparison.Ordinal) ? new MemoryNode(500 << 10) : null;
        var start = TestImage.Create(from, options);
        var made = await TestImage.OpenAsync(start, backing: backing);
        await made.WriteAsync(0, TestImage.Bytes(from, 9));
        await made.DisposeAsync();
        var bytes = new byte[start.Length];
        await start.ReadAsync(0, bytes);
        var short_ = Math.Min(from, to);
        for (var nth = 1; ; nth++)
        {
            var file = new MemoryNode((byte[])bytes.Clone());
            var fault = new FaultNode(Edge(file), new FaultOptions());
            var image = await OpenAsync(fault, backing);
            fault.Add(new FaultRule { First = nth, Kinds = FaultKinds.Changes | FaultKinds.Read });
            try
            {
                await image.ResizeAsync(to, preallocation);
            }
            catch (BlockException)
            {
                await AssertAtMostLeaksAsync(file, $"{options}, request {nth}, right after");
            }

            var wasHit = fault.Hits > 0;
            fault.Clear();
            Assert.Equal(TestImage.Bytes(from, 9).AsSpan(0, short_).ToArray(), await TestImage.ReadAsync(image, 0, short_));
            await image.WriteAsync(short_ - 3000, TestImage.Bytes(3000, 10));
            await image.ResizeAsync(to, preallocation);
            if (to > from)
            {
                Assert.Equal(new byte[to - from], await TestImage.ReadAsync(image, from, to - from));
            }

            await image.DisposeAsync();
            await AssertAtMostLeaksAsync(file, $"{options}, request {nth}");
            image = await TestImage.OpenAsync(file, backing: backing);
            Assert.Equal(to, image.Length);
            Assert.Equal(TestImage.Bytes(from, 9).AsSpan(0, short_ - 3000).ToArray(), await TestImage.ReadAsync(image, 0, short_ - 3000));
            Assert.Equal(TestImage.Bytes(3000, 10), await TestImage.ReadAsync(image, short_ - 3000, 3000));
            await image.DisposeAsync();
            if (!wasHit)
            {
                break;
            }
        }
    }

    private static async Task AssertAtMostLeaksAsync(MemoryNode file, string what)
    {
        var edge = Edge(file);
        var header = await Qcow2HeaderReader.ReadAsync(edge);
        var report = await Qcow2Checker.CheckAsync(edge, header, false, RepairMode.None);
        Assert.True(report is { Corruptions: 0, CheckErrors: 0, Aborted: null }, $"{what}: {report.Aborted} {string.Join("; ", report.Findings.Take(5))}");
    }

    private static async Task<BlockEdge> OpenAsync(BlockNode file, BlockNode? backing)
    {
        var edge = new BlockEdge(file, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var header = await Qcow2HeaderReader.ReadAsync(edge);
        var below = backing is null ? null : new BlockEdge(new KeepOpenNode(backing), ChildRole.Backing, TestImage.All, "backing");
        return new BlockEdge(await Qcow2Node.OpenAsync(edge, header, null, below, new Qcow2OpenOptions()), ChildRole.None, TestImage.All);
    }

    private static BlockEdge Edge(MemoryNode file) =>
        new(new KeepOpenNode(file), ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");

    private static async Task<int> CountBlocksAsync(MemoryNode file)
    {
        var header = await Qcow2HeaderReader.ReadAsync(Edge(file));
        var table = new byte[header.RefcountTableClusters << header.ClusterBits];
        await file.ReadAsync(header.RefcountTableOffset, table);
        return table.Chunk(8).Count(e => e.AsSpan().ContainsAnyExcept((byte)0));
    }
}
