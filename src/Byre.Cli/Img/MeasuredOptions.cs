using System.Globalization;
using System.Numerics;
using Byre.Blockdev;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>What of a plan for a qcow2 image decides about the length of its file.</summary>
internal static class MeasuredOptions
{
    /// <summary>Reads the plan.</summary>
    /// <exception cref="ImgFailure">A value is not valid.</exception>
    public static Qcow2CreateOptions Of(CreatePlan plan)
    {
        var options = new Qcow2CreateOptions { Size = plan.Size };
        foreach (var (key, value) in plan.Values)
        {
            options = key switch
            {
                "cluster_size" => options with { ClusterBits = ClusterBits(value) },
                "refcount_bits" => options with { RefcountBits = (int)Math.Min(long.Parse(value, CultureInfo.InvariantCulture), int.MaxValue) },
                "extended_l2" => options with { ExtendedL2 = value == "on" },
                "lazy_refcounts" => options with { LazyRefcounts = value == "on" },
                "compression_type" => options with { CompressionType = Compression(value) },
                "compat" => options with { Version = Version(value) },
                "data_file" => options with { DataFileName = value },
                "data_file_raw" => options with { DataFileRaw = value == "on" },
                "preallocation" => options with { Preallocation = PreallocationOf(value) },
                _ => options,
            };
        }

        return options;
    }

    private static int ClusterBits(string value)
    {
        var size = ulong.Parse(value, CultureInfo.InvariantCulture);
        return BitOperations.IsPow2(size) && size is >= 512 and <= (2 << 20)
            ? BitOperations.Log2(size)
            : throw new ImgFailure($"The cluster size {value} is no power of two from 512 to 2M");
    }

    private static int Version(string value) => value switch
    {
        "0.10" or "v2" => 2,
        "1.1" or "v3" => 3,
        _ => throw new ImgFailure($"There is no version '{value}' of qcow2: compat is 0.10 (v2) or 1.1 (v3)"),
    };

    private static Qcow2CompressionType Compression(string value) => value switch
    {
        "zlib" => Qcow2CompressionType.Zlib,
        "zstd" => Qcow2CompressionType.Zstd,
        _ => throw new ImgFailure($"There is no compression type '{value}': it is zlib or zstd"),
    };

    private static Preallocation PreallocationOf(string value) => value switch
    {
        "off" => Preallocation.Off,
        "metadata" => Preallocation.Metadata,
        "falloc" => Preallocation.Falloc,
        "full" => Preallocation.Full,
        _ => throw new ImgFailure($"There is no preallocation mode '{value}': it is off, metadata, falloc or full"),
    };
}
