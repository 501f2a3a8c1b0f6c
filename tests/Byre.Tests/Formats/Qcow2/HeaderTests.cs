using System.Buffers.Binary;
using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Tests.Formats.Qcow2;

public class HeaderTests
{
    private static Qcow2Header Plain => new()
    {
        Version = 3, ClusterBits = 16, Size = 1 << 20, L1Entries = 1, L1Offset = 0x30000, RefcountTableOffset = 0x10000,
        RefcountTableClusters = 1,
    };

    [Fact]
    public void The_bytes_are_those_of_the_specification()
    {
        var bytes = (Plain with { BackingFile = "base.img", BackingFormat = "raw" }).ToBytes();
        const string Fixed =
            "514649fb00000003" + "0000000000000210" + "00000008" + "00000010" + "0000000000100000" + "00000000" + "00000001"
            + "0000000000030000" + "0000000000010000" + "00000001" + "00000000" + "0000000000000000" + "0000000000000000"
            + "0000000000000000" + "0000000000000000" + "00000004" + "00000070" + "0000000000000000"
            + "e2792aca00000003" + "7261770000000000" + "6803f85700000180" + "0000" + "6469727479206269740000";
        Assert.Equal(Fixed, Convert.ToHexStringLower(bytes)[..Fixed.Length]);
        Assert.Equal("base.img", Encoding.UTF8.GetString(bytes.AsSpan(0x210)));
        Assert.Equal(0x218, bytes.Length);
    }

    [Fact]
    public void The_all_zero_bit_has_a_name_only_where_it_is_set_and_the_cluster_is_large_enough()
    {
        var names = Qcow2Header.Parse((Plain with { Autoclear = AutoclearFeatures.AllZero }).ToBytes(), "x").FeatureNames;
        Assert.Equal(new FeatureName(2, 2, "all zero"), names[^1]);
        Assert.Equal(9, names.Count);
        Assert.Equal(8, Qcow2Header.Parse(Plain.ToBytes(), "x").FeatureNames.Count);
        var small = Plain with { ClusterBits = 12, Autoclear = AutoclearFeatures.AllZero, L1Entries = 1 };
        Assert.Equal(120, small.ToBytes().Length);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void What_is_written_is_read_again(int version)
    {
        var header = Plain with
        {
            Version = version,
            CryptMethod = 2,
            L1Entries = 77,
            SnapshotCount = 3,
            SnapshotsOffset = 0x50000,
            RefcountOrder = version == 2 ? 4 : 6,
            HeaderLength = version == 2 ? 72 : 112,
            BackingFile = "a/b c",
            BackingFormat = "qcow2",
            Extensions = [new(0x23852875, new byte[24]), new(0x12345678, new byte[] { 1, 2, 3 }), new(0x0537be77, new byte[16])],
        };
        if (version == 3)
        {
            header = header with
            {
                Incompatible = IncompatibleFeatures.Dirty | IncompatibleFeatures.CompressionType | IncompatibleFeatures.ExtendedL2
                    | IncompatibleFeatures.DataFile,
                CompressionType = Qcow2CompressionType.Zstd,
                Compatible = CompatibleFeatures.LazyRefcounts | (CompatibleFeatures)0x8000,
                Autoclear = AutoclearFeatures.Bitmaps | (AutoclearFeatures)0x4000000000000000,
                DataFileName = "data.raw",
                UnknownFields = new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 },
                HeaderLength = 120,
            };
        }

        var bytes = header.ToBytes();
        var back = Qcow2Header.Parse(bytes, "x");
        Assert.Equal(bytes, back.ToBytes());
        Assert.Equal(
            header with { Extensions = header.Extensions, UnknownFields = default },
            back with { Extensions = header.Extensions, FeatureNames = header.FeatureNames, UnknownFields = default });
        Assert.Equal([1, 2, 3], back.FindExtension(0x12345678)!.Data.ToArray());
        Assert.Equal(header.UnknownFields.ToArray(), back.UnknownFields.ToArray());
    }

    [Theory]
    [InlineData(0, 4, 0u, ErrorCode.WrongFormat)]
    [InlineData(4, 4, 1u, ErrorCode.NotSupported)]
    [InlineData(4, 4, 4u, ErrorCode.NotSupported)]
    [InlineData(8, 4, 1u, ErrorCode.Corrupt)] // backing offset over the cluster
    [InlineData(12, 4, 8u, ErrorCode.Corrupt)] // backing name inside the header
    [InlineData(20, 4, 8u, ErrorCode.Corrupt)]
    [InlineData(20, 4, 22u, ErrorCode.Corrupt)]
    [InlineData(20, 4, 0xffffffffu, ErrorCode.Corrupt)]
    [InlineData(24, 4, 0x80000000u, ErrorCode.TooLarge)]
    [InlineData(24, 4, 0x7fffffffu, ErrorCode.Corrupt)] // L1 too small for the size
    [InlineData(32, 4, 3u, ErrorCode.NotSupported)]
    [InlineData(36, 4, 0u, ErrorCode.Corrupt)]
    [InlineData(36, 4, 0x400001u, ErrorCode.TooLarge)]
    [InlineData(36, 4, 0xffffffffu, ErrorCode.TooLarge)]
    [InlineData(40, 4, 0x80000000u, ErrorCode.Corrupt)]
    [InlineData(40, 4, 0x7fffffffu, ErrorCode.Corrupt)]
    [InlineData(44, 4, 0x30200u, ErrorCode.Corrupt)]
    [InlineData(44, 4, 0u, ErrorCode.Corrupt)]
    [InlineData(48, 4, 0x80000000u, ErrorCode.Corrupt)]
    [InlineData(52, 4, 1u, ErrorCode.Corrupt)]
    [InlineData(56, 4, 129u, ErrorCode.TooLarge)]
    [InlineData(56, 4, 0xffffffffu, ErrorCode.TooLarge)]
    [InlineData(60, 4, 65537u, ErrorCode.TooLarge)]
    [InlineData(60, 4, 1u, ErrorCode.Corrupt)] // snapshots at offset 0
    [InlineData(76, 4, 8u, ErrorCode.Corrupt)] // the feature bit without the type
    [InlineData(76, 4, 32u, ErrorCode.NotSupported)]
    [InlineData(72, 4, 0x80000000u, ErrorCode.NotSupported)]
    [InlineData(96, 4, 7u, ErrorCode.Corrupt)]
    [InlineData(96, 4, 0xffffffffu, ErrorCode.Corrupt)]
    [InlineData(100, 4, 103u, ErrorCode.Corrupt)]
    [InlineData(100, 4, 65537u, ErrorCode.Corrupt)]
    [InlineData(100, 4, 0xffffffffu, ErrorCode.Corrupt)]
    [InlineData(104, 1, 1u, ErrorCode.Corrupt)] // the type without the feature bit
    [InlineData(104, 1, 2u, ErrorCode.NotSupported)]
    [InlineData(116, 4, 0xffffffffu, ErrorCode.Corrupt)] // an extension's length
    [InlineData(116, 4, 65536u, ErrorCode.Corrupt)]
    public void A_field_out_of_range_is_refused(int at, int width, uint value, ErrorCode code)
    {
        var bytes = Plain.ToBytes();
        Array.Resize(ref bytes, 65536);
        if (width == 1)
        {
            bytes[at] = (byte)value;
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(at), value);
        }

        if (at == 40 && value == 0x7fffffff)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(44), 0xffff0000); // the table would end past 2^63
        }

        var e = Assert.Throws<BlockException>(() => Qcow2Header.Parse(bytes, "some.qcow2"));
        Assert.Equal(code, e.Code);
        Assert.Contains("some.qcow2", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_header_cut_off_anywhere_is_refused_or_read_never_anything_else()
    {
        var bytes = (Plain with { BackingFile = "base", BackingFormat = "raw" }).ToBytes();
        for (var n = 0; n < bytes.Length; n++)
        {
            var e = Assert.Throws<BlockException>(() => Qcow2Header.Parse(bytes.AsSpan(0, n), "x"));
            Assert.Equal(n < 4 ? ErrorCode.WrongFormat : ErrorCode.Corrupt, e.Code);
        }
    }

    [Fact]
    public void Noise_in_a_header_is_refused_with_a_sentence()
    {
        var random = new Random(7);
        var good = (Plain with { BackingFile = "base", BackingFormat = "raw" }).ToBytes();
        for (var i = 0; i < 20000; i++)
        {
            var bytes = (byte[])good.Clone();
            for (var n = random.Next(1, 6); n > 0; n--)
            {
                bytes[random.Next(random.Next(2) == 0 ? 160 : bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                var header = Qcow2Header.Parse(bytes, "x");
                Assert.InRange(header.L1Entries, 0u, 1u << 22);
                Assert.InRange(header.Size, 0, long.MaxValue);
            }
            catch (BlockException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }

    [Fact]
    public void An_unknown_feature_is_called_by_the_name_that_the_image_gives_it()
    {
        var bytes = Plain.ToBytes();
        bytes[79] = 0x80;
        bytes[121] = 7; // the first entry of the table is for bit 7 now
        var e = Assert.Throws<BlockException>(() => Qcow2Header.Parse(bytes, "x"));
        Assert.EndsWith(": dirty bit", e.Message, StringComparison.Ordinal);
        bytes[121] = 0;
        e = Assert.Throws<BlockException>(() => Qcow2Header.Parse(bytes, "x"));
        Assert.EndsWith(": Unknown incompatible feature: bit 7", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_in_a_cluster_is_not_written()
    {
        var small = Plain with { ClusterBits = 9, BackingFile = new string('a', 512 - 120) };
        Assert.Equal(512, small.ToBytes().Length);
        Assert.Equal(
            ErrorCode.Invalid, Assert.Throws<BlockException>(() => (small with { BackingFile = new string('a', 393) }).ToBytes()).Code);
        Assert.Throws<BlockException>(() => (Plain with { BackingFile = new string('a', 1024) }).ToBytes());
        Assert.Throws<BlockException>(() => (small with { DataFileName = new string('a', 400) }).ToBytes());
    }
}
