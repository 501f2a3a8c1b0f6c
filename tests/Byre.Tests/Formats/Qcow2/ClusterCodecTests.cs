using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Tests.Formats.Qcow2;

public class ClusterCodecTests
{
    private const int ClusterSize = 4096;

    public static TheoryData<string> Types => ["zlib", "zstd"];

    [Theory]
    [MemberData(nameof(Types))]
    public void What_follows_the_compressed_bytes_in_their_sector_is_left_alone(string type)
    {
        using var codec = Of(type);
        var cluster = Words(ClusterSize);
        var packed = Pack(codec, cluster);
        foreach (var junk in new byte[] { 0, 0xff, 0x28 })
        {
            var source = new byte[packed.Length + 300];
            source.AsSpan().Fill(junk);
            packed.CopyTo(source, 0);
            Assert.Equal(cluster, Unpack(codec, source));
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Too_few_bytes_are_refused_and_the_next_cluster_is_read_well(string type)
    {
        using var codec = Of(type);
        var packed = Pack(codec, Words(ClusterSize / 2));
        Assert.False(codec.TryDecompress(packed, new byte[ClusterSize]));
        var cluster = Words(ClusterSize);
        packed = Pack(codec, cluster);
        Assert.False(codec.TryDecompress(packed.AsSpan(0, packed.Length / 2), new byte[ClusterSize]));
        Assert.False(codec.TryDecompress(new byte[512], new byte[ClusterSize]));
        Assert.Equal(cluster, Unpack(codec, packed));
    }

    [Fact]
    public void A_cluster_may_be_several_zstd_frames()
    {
        using var codec = Of("zstd");
        var cluster = Words(ClusterSize);
        byte[] packed = [.. Pack(codec, cluster[..1000]), .. Pack(codec, cluster[1000..])];
        Assert.Equal(cluster, Unpack(codec, packed));
    }

    private static IClusterCodec Of(string type) => ClusterCodecs.Create(type == "zstd" ? Qcow2CompressionType.Zstd : Qcow2CompressionType.Zlib);

    private static byte[] Words(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        for (var i = 0; i < length; i++)
        {
            bytes[i] = (byte)('a' + (bytes[i] & 7));
        }

        return bytes;
    }

    private static byte[] Pack(IClusterCodec codec, byte[] plain)
    {
        var packed = new byte[plain.Length];
        return packed[..codec.Compress(plain, packed)];
    }

    private static byte[] Unpack(IClusterCodec codec, byte[] packed)
    {
        var plain = new byte[ClusterSize];
        Assert.True(codec.TryDecompress(packed, plain));
        return plain;
    }
}
