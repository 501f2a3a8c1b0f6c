using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Tests.Formats.Qcow2;

public class TableEntryTests
{
    private static readonly ImageGeometry Plain = ImageGeometry.From(16, false);
    private static readonly ImageGeometry Extended = ImageGeometry.From(16, true);

    [Fact]
    public void L1_entries()
    {
        var entry = L1Entry.For(new HostOffset(0x50000), true);
        Assert.Equal(0x8000000000050000UL, entry.Raw);
        Assert.Equal((new HostOffset(0x50000), true, true, false), (entry.Table, entry.HasTable, entry.IsCopied, entry.HasReservedBits));
        Assert.False(new L1Entry(1UL << 63).HasTable);
        Assert.True(new L1Entry(0x50001).HasReservedBits);
        Assert.True(new L1Entry(1UL << 56).HasReservedBits);
    }

    [Fact]
    public void Refcount_table_and_bitmap_table_entries()
    {
        Assert.Equal(0x50000UL, RefcountTableEntry.For(new HostOffset(0x50000)).Raw);
        Assert.Equal(new HostOffset(0x50000), new RefcountTableEntry(0x50123).Block);
        Assert.True(new RefcountTableEntry(0x50100).HasReservedBits);
        Assert.False(new RefcountTableEntry(0x50200).HasReservedBits);
        Assert.True(new BitmapTableEntry(1) is { IsAllOnes: true, HasReservedBits: false, Cluster.Value: 0 });
        Assert.True(new BitmapTableEntry(0x50000) is { IsAllOnes: false, HasReservedBits: false, Cluster.Value: 0x50000 });
        Assert.True(new BitmapTableEntry(0x50001).HasReservedBits);
        Assert.True(new BitmapTableEntry(2).HasReservedBits);
        Assert.True(new BitmapTableEntry(1UL << 56).HasReservedBits);
    }

    [Theory]
    [InlineData(0UL, "UnallocatedPlain", false)]
    [InlineData(1UL, "ZeroPlain", false)]
    [InlineData(0x8000000000050001UL, "ZeroAllocated", false)]
    [InlineData(0x8000000000050000UL, "Normal", false)]
    [InlineData(0x4000000000050123UL, "Compressed", false)]
    [InlineData(0x8000000000050002UL, "Normal", true)]
    [InlineData(0x0100000000050000UL, "Normal", true)]
    [InlineData(0xc000000000050000UL, "Compressed", true)]
    [InlineData(0x8000000000050200UL, "Invalid", false)]
    public void L2_entries(ulong raw, string kind, bool reserved)
    {
        var entry = new L2Entry(raw);
        Assert.Equal(kind, entry.KindAt(Plain, 0).ToString());
        Assert.Equal(reserved, entry.HasReservedBits(Plain));
    }

    [Fact]
    public void L2_entries_are_written_as_they_are_read()
    {
        var bytes = new byte[16];
        new L2Entry(0x8000000000050000, 0x0000000200000001).Write(bytes, hasSubclusters: true);
        Assert.Equal("80000000000500000000000200000001", Convert.ToHexStringLower(bytes));
        Assert.Equal(new L2Entry(0x8000000000050000, 0x0000000200000001), L2Entry.Read(bytes, hasSubclusters: true));
        Assert.Equal(new L2Entry(0x8000000000050000), L2Entry.Read(bytes, hasSubclusters: false));
        new L2Entry(1, 7).Write(bytes, hasSubclusters: false);
        Assert.Equal("00000000000000010000000200000001", Convert.ToHexStringLower(bytes));
        var host = new HostOffset(0x50000);
        Assert.Equal(new L2Entry(0x8000000000050001), L2Entry.ZeroAllocated(Plain, host, copied: true));
        Assert.Equal(new L2Entry(0x8000000000050000, 0xffffffff00000000), L2Entry.ZeroAllocated(Extended, host, copied: true));
        Assert.Equal(new L2Entry(0, 0xffffffff00000000), L2Entry.ZeroPlain(Extended));
    }

    [Fact]
    public void A_zero_flag_makes_no_sense_in_version_2()
    {
        var geometry = ImageGeometry.From(16, false, version: 2);
        Assert.Equal(SubclusterKind.Invalid, new L2Entry(1).KindAt(geometry, 0));
        Assert.True(new L2Entry(1).HasReservedBits(geometry));
    }

    [Fact]
    public void Offset_0_is_a_cluster_in_a_data_file()
    {
        var geometry = ImageGeometry.From(16, false, hasDataFile: true);
        Assert.Equal(SubclusterKind.Normal, new L2Entry(L2Entry.CopiedBit).KindAt(geometry, 0));
        Assert.Equal(SubclusterKind.UnallocatedPlain, new L2Entry(L2Entry.CopiedBit).KindAt(Plain, 0));
    }

    [Theory]
    [InlineData(9)]
    [InlineData(16)]
    [InlineData(21)]
    public void Compressed_entries_count_the_sectors_they_touch(int clusterBits)
    {
        var geometry = ImageGeometry.From(clusterBits, false);
        foreach (var host in new long[] { 1024, 1025, 1535, 12345678 })
        {
            foreach (var bytes in new[] { 1, 511, geometry.ClusterSize - 1 })
            {
                var entry = L2Entry.Compressed(geometry, new HostOffset(host), bytes);
                var (place, length) = entry.CompressedPlace(geometry);
                Assert.Equal(host, place.Value);
                Assert.InRange(length, bytes, bytes + 511);
                Assert.Equal(0, (host + length) % 512);
                Assert.False(entry.HasReservedBits(geometry));
            }
        }
    }

    [Theory]
    [InlineData(9)]
    [InlineData(16)]
    [InlineData(21)]
    public void Compressed_entries_reach_so_far_and_no_farther(int clusterBits)
    {
        var geometry = ImageGeometry.From(clusterBits, false);
        var max = L2Entry.MaxCompressedOffset(geometry);
        Assert.Equal(max, L2Entry.Compressed(geometry, max, 1).CompressedPlace(geometry).Offset);
        Assert.False(L2Entry.Compressed(geometry, max, 1).HasReservedBits(geometry));
        var beyond = L2Entry.Compressed(geometry, max + 1, 1);
        Assert.True(beyond.HasReservedBits(geometry) || beyond.CompressedPlace(geometry).Offset != max + 1);
    }

    [Fact]
    public void Subclusters()
    {
        var entry = new L2Entry(0x8000000000050000UL, 0x0000_0002_0000_0001);
        Assert.Equal(SubclusterKind.Normal, entry.KindAt(Extended, 0));
        Assert.Equal(SubclusterKind.ZeroAllocated, entry.KindAt(Extended, 1));
        Assert.Equal(SubclusterKind.UnallocatedAllocated, entry.KindAt(Extended, 31));
        Assert.Equal(SubclusterKind.Invalid, new L2Entry(0x50000, 0x0000_0001_0000_0001).KindAt(Extended, 5));
        entry = new L2Entry(0, 0x8000_0000_0000_0000);
        Assert.Equal(SubclusterKind.ZeroPlain, entry.KindAt(Extended, 31));
        Assert.Equal(SubclusterKind.UnallocatedPlain, entry.KindAt(Extended, 30));
        Assert.Equal(SubclusterKind.Invalid, new L2Entry(0, 1).KindAt(Extended, 0));
        Assert.True(new L2Entry(0x50001).HasReservedBits(Extended));
    }

    [Fact]
    public void Refcounts_of_every_width()
    {
        for (var order = 0; order <= 6; order++)
        {
            var block = new byte[512];
            var model = new ulong[512 * 8 >> order];
            var random = new Random(order);
            for (var i = 0; i < 3000; i++)
            {
                var at = random.Next(model.Length);
                model[at] = (ulong)random.NextInt64(long.MinValue, long.MaxValue) & RefcountWidth.Max(order);
                RefcountWidth.Set(block, order, at, model[at]);
            }

            for (var i = 0; i < model.Length; i++)
            {
                Assert.Equal(model[i], RefcountWidth.Get(block, order, i));
            }
        }

        var bytes = new byte[8];
        RefcountWidth.Set(bytes, 0, 9, 1);
        RefcountWidth.Set(bytes, 1, 9, 3);
        Assert.Equal([0, 2, 12, 0, 0, 0, 0, 0], bytes);
        Assert.Throws<ArgumentOutOfRangeException>(() => RefcountWidth.Set(new byte[8], 1, 0, 4));
    }

    [Fact]
    public void Snapshot_entries()
    {
        var entry = new SnapshotEntry
        {
            L1Offset = 0x70000, L1Entries = 2, Id = "1", Name = "before", DateSeconds = 0x11223344, DateNanoseconds = 5,
            VmClockNanoseconds = 6, VmStateSize = 0x1_0000_0007, DiskSize = 1 << 20, Icount = 9,
        };
        var bytes = new byte[entry.Length];
        Assert.Equal(72, entry.Write(bytes, 0));
        Assert.Equal(
            "0000000000070000" + "00000002" + "0001" + "0006" + "11223344" + "00000005" + "0000000000000006" + "ffffffff"
            + "00000018" + "0000000100000007" + "0000000000100000" + "0000000000000009" + "31" + "6265666f7265" + "00",
            Convert.ToHexStringLower(bytes));
        Assert.Equal(entry, SnapshotEntry.Read(bytes, "x", out var length));
        Assert.Equal(72, length);
        for (var n = 0; n < 71; n++)
        {
            Assert.Equal(
                ErrorCode.Corrupt,
                Assert.Throws<BlockException>(() => SnapshotEntry.Read(bytes.AsSpan(0, n), "x", out _)).Code);
        }

        bytes[38] = 4;
        bytes[39] = 1;
        Assert.Equal(ErrorCode.TooLarge, Assert.Throws<BlockException>(() => SnapshotEntry.Read(bytes, "x", out _)).Code);
    }

    [Theory]
    [InlineData(Qcow2CompressionType.Zlib)]
    [InlineData(Qcow2CompressionType.Zstd)]
    public void Codecs(Qcow2CompressionType type)
    {
        using var codec = ClusterCodecs.Create(type);
        var cluster = new byte[65536];
        new Random(1).NextBytes(cluster.AsSpan(0, 20000));
        var packed = new byte[65536];
        for (var round = 0; round < 3; round++)
        {
            var n = codec.Compress(cluster, packed);
            Assert.InRange(n, 20000, 30000);
            var plain = new byte[65536];
            packed.AsSpan(n).Fill(0xa5);
            Assert.True(codec.TryDecompress(packed.AsSpan(0, n + 511), plain)); // whole sectors: more follows
            Assert.Equal(cluster, plain);
            Assert.False(codec.TryDecompress(packed.AsSpan(0, n / 2), plain));
            Assert.False(codec.TryDecompress(plain.AsSpan(1000, 4000), new byte[65536]));
            Assert.Equal(0, codec.Compress(cluster, packed.AsSpan(0, 1000)));
        }

        new Random(2).NextBytes(cluster);
        Assert.Equal(0, codec.Compress(cluster, packed));
    }
}
