using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

public class CreateTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData(16, 1 << 20, Preallocation.Off, 0x30008L)]
    [InlineData(16, 0, Preallocation.Off, 0x30000L)]
    [InlineData(16, 1000, Preallocation.Off, 0x30008L)]
    [InlineData(9, 1 << 20, Preallocation.Off, 1536 + 256L)]
    [InlineData(16, 1 << 20, Preallocation.Metadata, 0x150000L)]
    public async Task An_image_is_as_long_as_it_must_be(int clusterBits, long size, Preallocation preallocation, long length)
    {
        await using var file = new BlockEdge(new MemoryNode(5000), ChildRole.None, Everything);
        await Qcow2Creator.CreateAsync(
            file, null, new Qcow2CreateOptions { Size = size, ClusterBits = clusterBits, Preallocation = preallocation });
        Assert.Equal(length, file.Length);
        var header = await Qcow2HeaderReader.ReadAsync(file);
        Assert.Equal((size + 511) / 512 * 512, header.Size);
        Assert.Equal(AutoclearFeatures.AllZero, header.Autoclear);
    }

    [Theory]
    [InlineData(9, 16, false, 3_000_000)]
    [InlineData(9, 64, false, 5_000_000)]
    [InlineData(12, 1, false, 300_000_000)]
    [InlineData(14, 64, true, 1_000_000_000)]
    [InlineData(16, 16, false, 7_000_000_000)]
    public async Task A_preallocated_image_maps_every_cluster_once_and_counts_every_one(
        int clusterBits, int refcountBits, bool extended, long size)
    {
        await using var file = new BlockEdge(new MemoryNode(0), ChildRole.None, Everything);
        await Qcow2Creator.CreateAsync(file, null, new Qcow2CreateOptions
        {
            Size = size, ClusterBits = clusterBits, RefcountBits = refcountBits, ExtendedL2 = extended,
            Preallocation = Preallocation.Metadata,
        });
        var header = await Qcow2HeaderReader.ReadAsync(file);
        var geometry = ImageGeometry.From(header);
        var used = new HashSet<long> { 0 };
        for (var i = 0; i < header.RefcountTableClusters; i++)
        {
            Assert.True(used.Add((header.RefcountTableOffset >> clusterBits) + i));
        }

        var table = await WordsAsync(file, header.RefcountTableOffset, (int)header.RefcountTableClusters << clusterBits >> 3);
        var counts = new List<ulong>();
        foreach (var at in table.Where(e => e != 0))
        {
            Assert.True(used.Add((long)at >> clusterBits));
            var block = new byte[geometry.ClusterSize];
            await file.ReadAsync((long)at, block);
            for (var i = 0; i < geometry.RefcountBlockEntries; i++)
            {
                counts.Add(RefcountWidth.Get(block, header.RefcountOrder, i));
            }
        }

        for (var i = 0L; i < geometry.ClustersFor(header.L1Entries * 8); i++)
        {
            Assert.True(used.Add((header.L1Offset >> clusterBits) + i));
        }

        var mapped = 0L;
        foreach (var l1 in await WordsAsync(file, header.L1Offset, (int)header.L1Entries))
        {
            var entry = new L1Entry(l1);
            Assert.True(entry is { IsCopied: true, HasReservedBits: false });
            Assert.True(used.Add(entry.Table.Value >> clusterBits));
            var words = await WordsAsync(file, entry.Table.Value, geometry.ClusterSize >> 3);
            for (var i = 0; i < geometry.L2Entries; i++)
            {
                var l2 = extended ? new L2Entry(words[2 * i], words[(2 * i) + 1]) : new L2Entry(words[i]);
                if (l2.Raw != 0)
                {
                    mapped++;
                    Assert.True(l2.HasHost(geometry));
                    Assert.Equal(0UL, l2.Bitmap);
                    Assert.True(used.Add(l2.Host.Value >> clusterBits));
                }
            }
        }

        Assert.Equal(geometry.ClustersFor(header.Size), mapped);
        Assert.Equal(used.Count, used.Max() + 1);
        Assert.Equal((long)used.Count << clusterBits, file.Length);
        for (var i = 0; i < counts.Count; i++)
        {
            Assert.Equal(i < used.Count ? 1UL : 0UL, counts[i]);
        }

        Assert.Equal(
            file.Length,
            Qcow2Measure.ForEmpty(new Qcow2CreateOptions
            {
                Size = size, ClusterBits = clusterBits, RefcountBits = refcountBits, ExtendedL2 = extended,
            }).FullyAllocated);
    }

    [Fact]
    public async Task A_raw_data_file_is_mapped_in_its_own_order_and_never_promised_to_be_zero_unless_new()
    {
        var options = new Qcow2CreateOptions { Size = 1 << 20, DataFileName = "d", DataFileRaw = true };
        foreach (var before in new[] { 0, 4096 })
        {
            await using var file = new BlockEdge(new MemoryNode(0), ChildRole.None, Everything);
            await using var data = new BlockEdge(new MemoryNode(before), ChildRole.None, Everything);
            await Qcow2Creator.CreateAsync(file, data, options);
            var header = await Qcow2HeaderReader.ReadAsync(file);
            Assert.Equal(1 << 20, data.Length);
            Assert.Equal(
                AutoclearFeatures.RawExternalData | (before == 0 ? AutoclearFeatures.AllZero : 0), header.Autoclear);
            var l1 = new L1Entry((await WordsAsync(file, header.L1Offset, 1))[0]);
            var l2 = await WordsAsync(file, l1.Table.Value, 17);
            Assert.Equal(L2Entry.CopiedBit, l2[0]);
            Assert.Equal(L2Entry.CopiedBit | 0xf0000, l2[15]);
            Assert.Equal(0UL, l2[16]);
        }
    }

    [Fact]
    public void Wishes_that_do_not_go_together_are_refused()
    {
        var good = new Qcow2CreateOptions { Size = 1 << 20 };
        Qcow2Creator.Validate(good);
        Qcow2Creator.Validate(good with { Size = 2L << 50 });
        Qcow2Creator.Validate(good with { ExtendedL2 = true, BackingFile = "b", Preallocation = Preallocation.Metadata });
        Qcow2CreateOptions[] bad =
        [
            good with { ClusterBits = 8 },
            good with { ClusterBits = 22 },
            good with { Version = 1 },
            good with { Version = 4 },
            good with { RefcountBits = 0 },
            good with { RefcountBits = 3 },
            good with { RefcountBits = 128 },
            good with { Version = 2, RefcountBits = 8 },
            good with { Version = 2, LazyRefcounts = true },
            good with { Version = 2, ExtendedL2 = true },
            good with { Version = 2, DataFileName = "d" },
            good with { Version = 2, CompressionType = Qcow2CompressionType.Zstd },
            good with { CompressionType = (Qcow2CompressionType)2 },
            good with { ClusterBits = 13, ExtendedL2 = true },
            good with { DataFileRaw = true },
            good with { BackingFile = "b", DataFileName = "d", DataFileRaw = true },
            good with { BackingFile = "b", Preallocation = Preallocation.Falloc },
            good with { BackingFormat = "raw" },
            good with { BackingFile = new string('b', 1024) },
            good with { BackingFile = new string('b', 400), ClusterBits = 9 },
            good with { Size = -1 },
        ];
        Assert.All(bad, o => Assert.Equal(
            ErrorCode.Invalid, Assert.Throws<BlockException>(() => Qcow2Creator.Validate(o)).Code));
        Qcow2CreateOptions[] large =
        [
            good with { Size = (2L << 50) + 1 },
            good with { Size = long.MaxValue },
            good with { Size = (1L << 37) + 1, ClusterBits = 9 },
        ];
        Assert.All(large, o => Assert.Equal(
            ErrorCode.TooLarge, Assert.Throws<BlockException>(() => Qcow2Creator.Validate(o)).Code));
    }

    private static async Task<ulong[]> WordsAsync(BlockEdge file, long at, int count)
    {
        var bytes = new byte[count * 8];
        await file.ReadAsync(at, bytes);
        return [.. Enumerable.Range(0, count).Select(i => BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(i * 8)))];
    }
}
