using System.Text;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Each structure of the format against bytes written down by hand from the specification.</summary>
public class GoldenBytesTests
{
    private const string EndMarker = "0000000000000000";

    [Fact]
    public void A_header_of_version_2()
    {
        var header = new Qcow2Header
        {
            Version = 2, ClusterBits = 12, Size = 0x12345600, L1Entries = 146, L1Offset = 0x5000, RefcountTableOffset = 0x1000,
            RefcountTableClusters = 2, SnapshotCount = 3, SnapshotsOffset = 0x9000, RefcountOrder = 4, HeaderLength = 72,
            BackingFile = "b.img", BackingFormat = "qcow2",
        };
        Assert.Equal(
            "514649fb" + "00000002" + "0000000000000060" + "00000005" + "0000000c" + "0000000012345600" + "00000000" + "00000092"
            + "0000000000005000" + "0000000000001000" + "00000002" + "00000003" + "0000000000009000"
            + "e2792aca" + "00000005" + "71636f7732000000" + EndMarker + "622e696d67",
            Convert.ToHexStringLower(header.ToBytes()));
    }

    [Fact]
    public void A_header_of_version_3_with_every_field()
    {
        var header = new Qcow2Header
        {
            Version = 3, ClusterBits = 12, Size = 0x12345600, CryptMethod = 2, L1Entries = 146, L1Offset = 0x5000, RefcountTableOffset = 0x1000,
            RefcountTableClusters = 2, SnapshotCount = 3, SnapshotsOffset = 0x9000, RefcountOrder = 6, HeaderLength = 120,
            Incompatible = IncompatibleFeatures.Dirty | IncompatibleFeatures.DataFile | IncompatibleFeatures.CompressionType,
            Compatible = CompatibleFeatures.LazyRefcounts, Autoclear = AutoclearFeatures.Bitmaps | AutoclearFeatures.RawExternalData,
            CompressionType = Qcow2CompressionType.Zstd, UnknownFields = new byte[] { 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8 },
            DataFileName = "d.raw",
            Extensions = [new(0x0537be77, Bytes("0000000000010000" + "0000000000001f00")), new(0x23852875, Bitmaps()), new(0xcafe1234, new byte[] { 9 })],
        };
        var bytes = Convert.ToHexStringLower(header.ToBytes());
        Assert.Equal(
            "514649fb" + "00000003" + "0000000000000000" + "00000000" + "0000000c" + "0000000012345600" + "00000002" + "00000092"
            + "0000000000005000" + "0000000000001000" + "00000002" + "00000003" + "0000000000009000"
            + "000000000000000d" + "0000000000000001" + "0000000000000003" + "00000006" + "00000078" + "01" + "00000000000000" + "a1a2a3a4a5a6a7a8"
            + "44415441" + "00000005" + "642e726177000000"
            + "0537be77" + "00000010" + "0000000000010000" + "0000000000001f00"
            + "23852875" + "00000018" + "0000000200000000" + "0000000000000048" + "0000000000003000"
            + "cafe1234" + "00000001" + "0900000000000000" + EndMarker,
            bytes);
    }

    [Fact]
    public void The_feature_name_table()
    {
        var header = new Qcow2Header
        {
            Version = 3, ClusterBits = 16, Size = 1 << 20, L1Entries = 1, L1Offset = 0x30000, RefcountTableOffset = 0x10000, RefcountTableClusters = 1,
            Autoclear = AutoclearFeatures.AllZero,
        };
        var bytes = header.ToBytes().AsSpan(112);
        Assert.Equal("6803f857" + "000001b0", Convert.ToHexStringLower(bytes[..8]));
        var entries = new List<string>();
        for (var at = 8; at < 8 + 0x1b0; at += 48)
        {
            entries.Add($"{bytes[at]} {bytes[at + 1]} {Encoding.ASCII.GetString(bytes.Slice(at + 2, 46)).TrimEnd('\0')}");
        }

        Assert.Equal(
            [
                "0 0 dirty bit", "0 1 corrupt bit", "0 2 external data file", "0 3 compression type", "0 4 extended L2 entries", "1 0 lazy refcounts",
                "2 0 bitmaps", "2 1 raw external data", "2 2 all zero",
            ],
            entries.OrderBy(e => e, StringComparer.Ordinal));
        Assert.Equal(EndMarker, Convert.ToHexStringLower(bytes.Slice(8 + 0x1b0, 8)));
    }

    [Theory]
    [InlineData(9, 0x2401, 500, 0x4000000000002401UL)]
    [InlineData(9, 0x2401, 512, 0x6000000000002401UL)]
    [InlineData(12, 0x7ff0, 2000, 0x5000000000007ff0UL)]
    [InlineData(16, 0x50123, 1000, 0x4080000000050123UL)]
    [InlineData(16, 0x5fe00, 65536, 0x5fc000000005fe00UL)]
    [InlineData(21, 0x600000, 0x100001, 0x5000000000600000UL)]
    public void The_descriptor_of_a_compressed_cluster(int clusterBits, long host, int length, ulong raw)
    {
        var geometry = ImageGeometry.From(clusterBits, false);
        Assert.Equal($"{raw:x}", $"{L2Entry.Compressed(geometry, new HostOffset(host), length).Raw:x}");
        var (offset, bytes) = new L2Entry(raw).CompressedPlace(geometry);
        Assert.Equal(host, offset.Value);
        Assert.Equal((host + length + 511) / 512 * 512, offset.Value + bytes);
    }

    [Fact]
    public void Refcount_blocks_of_each_width()
    {
        string Block(int order, params (int Index, ulong Value)[] counts)
        {
            var bytes = new byte[16];
            foreach (var (index, value) in counts)
            {
                RefcountWidth.Set(bytes, order, index, value);
            }

            return Convert.ToHexStringLower(bytes);
        }

        Assert.Equal("09010000000000000000000000000080", Block(0, (0, 1), (3, 1), (8, 1), (127, 1)));
        Assert.Equal("090c00000000000000000000000000c0", Block(1, (0, 1), (1, 2), (5, 3), (63, 3)));
        Assert.Equal("5af000000000000000000000000000e0", Block(2, (0, 10), (1, 5), (3, 15), (31, 14)));
        Assert.Equal("0102000000000000000000000000ff00", Block(3, (0, 1), (1, 2), (14, 255)));
        Assert.Equal("0001fffe00000000000000000000a1b2", Block(4, (0, 1), (1, 0xfffe), (7, 0xa1b2)));
        Assert.Equal("00000001a1b2c3d40000000000000000", Block(5, (0, 1), (1, 0xa1b2c3d4)));
        Assert.Equal("0000000000000001a1b2c3d4e5f60718", Block(6, (0, 1), (1, 0xa1b2c3d4e5f60718)));
    }

    [Theory]
    [InlineData(9)]
    [InlineData(12)]
    [InlineData(16)]
    [InlineData(21)]
    public async Task The_tables_of_an_image(int clusterBits)
    {
        // Header, refcount table, refcount block, L1 table; then the L2 table, and what is written.
        var size = 1 << clusterBits;
        var (file, image) = await MakeAsync(new Qcow2CreateOptions { Size = 8L * size, ClusterBits = clusterBits });
        await image.WriteAsync(size, new byte[] { 1 });
        await image.WriteZeroesAsync(2L * size, size);
        await image.WriteAsync(3L * size, new byte[] { 1 });
        await image.WriteZeroesAsync(3L * size, size);
        await image.WriteAsync(4L * size, new byte[size], WriteFlags.Compressed);
        var more = Sectors(size) << (62 - (clusterBits - 8));
        await image.DisposeAsync();
        var bytes = await ReadAsync(file);
        Assert.Equal(Hex((ulong)size * 2), At(bytes, size, 8));
        Assert.Equal("00010001000100010001000100010001", At(bytes, 2 * size, 16)); // six clusters before the packed one, its own, none
        Assert.Equal(Hex(0x8000000000000000UL | ((ulong)size * 4)), At(bytes, 3 * size, 8));
        Assert.Equal(
            Hex(0) + Hex(0x8000000000000000UL | ((ulong)size * 5)) + Hex(1) + Hex(0x8000000000000001UL | ((ulong)size * 6))
                + Hex(0x4000000000000000UL | more | ((ulong)size * 7)) + Hex(0),
            At(bytes, 4 * size, 48));
    }

    [Theory]
    [InlineData(14)]
    [InlineData(16)]
    [InlineData(21)]
    public async Task The_tables_of_an_image_with_subclusters(int clusterBits)
    {
        var size = 1 << clusterBits;
        var sub = size / 32;
        var (file, image) = await MakeAsync(new Qcow2CreateOptions { Size = 8L * size, ClusterBits = clusterBits, ExtendedL2 = true });
        await image.WriteAsync(size + (3 * sub), new byte[2 * sub]);
        await image.WriteZeroesAsync(size + (31 * sub), sub);
        await image.WriteZeroesAsync(2L * size, size);
        await image.WriteAsync(3L * size, new byte[size], WriteFlags.Compressed);
        var more = Sectors(size) << (62 - (clusterBits - 8));
        await image.DisposeAsync();
        var bytes = await ReadAsync(file);
        Assert.Equal(Hex(0x8000000000000000UL | ((ulong)size * 4)), At(bytes, 3 * size, 8));
        Assert.Equal(
            Hex(0) + Hex(0) + Hex(0x8000000000000000UL | ((ulong)size * 5)) + Hex(0x8000000000000018UL) + Hex(0) + Hex(0xffffffff00000000UL)
                + Hex(0x4000000000000000UL | more | ((ulong)size * 6)) + Hex(0) + Hex(0),
            At(bytes, 4 * size, 72));
    }

    [Theory]
    [InlineData(0, "", null, null)]
    [InlineData(16, "00000001000000070000000000100000", 0x100000UL, null)]
    [InlineData(28, "00000001000000070000000000100000" + "0000000000000009" + "01020304", 0x100000UL, 9UL)]
    public void Snapshot_entries_with_more_and_with_less_extra_data(int extraLength, string extra, ulong? diskSize, ulong? icount)
    {
        var start = "0000000000070000" + "00000002" + "0001" + "0006" + "11223344" + "00000005" + "0000000000000006" + "0000000a" + $"{extraLength:x8}";
        var bytes = Bytes(start + extra + "31" + "6265666f7265");
        var entry = SnapshotEntry.Read(Padded(bytes), "x", out var length);
        Assert.Equal((bytes.Length + 7) & ~7, length);
        Assert.Equal((0x70000L, 2u, "1", "before"), (entry.L1Offset, entry.L1Entries, entry.Id, entry.Name));
        Assert.Equal((0x11223344u, 5u, 6ul), (entry.DateSeconds, entry.DateNanoseconds, entry.VmClockNanoseconds));
        Assert.Equal((extraLength == 0 ? 10ul : 0x1_0000_0007, diskSize, icount), (entry.VmStateSize, entry.DiskSize, entry.Icount));
        Assert.Equal(extraLength > 24 ? "01020304" : "", Convert.ToHexStringLower(entry.UnknownExtra.Span));
    }

    [Fact]
    public async Task Bitmap_directory_entries()
    {
        var header = new Qcow2Header
        {
            Version = 3, ClusterBits = 12, Size = 1 << 20, L1Entries = 1, L1Offset = 0x1000, RefcountTableOffset = 0x2000, RefcountTableClusters = 1,
            Autoclear = AutoclearFeatures.Bitmaps, Extensions = [new(0x23852875, Bitmaps())],
        };
        var file = new byte[0x4000];
        header.ToBytes().CopyTo(file, 0);
        Bytes(
            "0000000000005000" + "00000001" + "00000002" + "01" + "10" + "0006" + "00000000" + "6e69676874" + "6c" + "0000"
            + "0000000000006000" + "00000001" + "00000001" + "01" + "09" + "0009" + "00000004" + "a1a2a3a4" + "736b69707065645f31" + "000000")
            .CopyTo(file, 0x3000);
        await using var edge = new BlockEdge(new MemoryNode(file), ChildRole.Metadata | ChildRole.Primary, DefaultPermissions.Reader, "file");
        var bitmaps = await Qcow2Listing.BitmapsAsync(edge, await Qcow2HeaderReader.ReadAsync(edge));
        Assert.Equal([new("nightl", 65536, false, true), new Qcow2BitmapInfo("skipped_1", 512, true, false)], bitmaps);
    }

    private static byte[] Bitmaps() => Bytes("00000002" + "00000000" + "0000000000000048" + "0000000000003000");

    private static byte[] Bytes(string hex) => Convert.FromHexString(hex);

    private static byte[] Padded(byte[] bytes) => [.. bytes, .. new byte[-bytes.Length & 7]];

    /// <summary>The sectors beyond the first that a cluster of zeroes takes, compressed.</summary>
    private static ulong Sectors(int size)
    {
        using var codec = ClusterCodecs.Create(Qcow2CompressionType.Zlib);
        return (ulong)(codec.Compress(new byte[size], new byte[size]) - 1) / 512;
    }

    private static string Hex(ulong value) => $"{value:x16}";

    private static string At(byte[] bytes, int offset, int length) => Convert.ToHexStringLower(bytes.AsSpan(offset, length));

    private static async Task<(MemoryNode File, BlockEdge Image)> MakeAsync(Qcow2CreateOptions options)
    {
        var file = new MemoryNode(0);
        await using (var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.Metadata | ChildRole.Primary, TestImage.All, "file"))
        {
            await Qcow2Creator.CreateAsync(edge, null, options);
        }

        return (file, await TestImage.OpenAsync(file));
    }

    private static async Task<byte[]> ReadAsync(MemoryNode file)
    {
        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        return bytes;
    }
}
