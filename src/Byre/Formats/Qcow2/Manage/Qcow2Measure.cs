using System.Numerics;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>How long the file of a new image becomes.</summary>
public sealed record Qcow2Measure
{
    /// <summary>Bytes that hold the data there is, and the metadata of the whole disk.</summary>
    public required long Required { get; init; }

    /// <summary>Bytes once every cluster is written.</summary>
    public required long FullyAllocated { get; init; }

    /// <summary>Bytes of the source's persistent bitmaps, or null where the source cannot have any.</summary>
    public long? Bitmaps { get; init; }

    /// <summary>Measures an image without data: <c>measure --size</c>.</summary>
    /// <param name="options">The image; its size is the disk's.</param>
    /// <exception cref="BlockException">As <see cref="Qcow2Creator.Validate"/>.</exception>
    public static Qcow2Measure ForEmpty(Qcow2CreateOptions options) => ForData(options, 0);

    /// <summary>Measures an image that holds a source's data.</summary>
    /// <param name="options">The image; its size is the source's length.</param>
    /// <param name="dataBytes">
    /// Bytes of the clusters that hold data: add up what <see cref="DataOf"/> says, or count whole clusters.
    /// </param>
    /// <param name="bitmaps">Bytes of the source's persistent bitmaps, or null.</param>
    /// <exception cref="BlockException">As <see cref="Qcow2Creator.Validate"/>.</exception>
    public static Qcow2Measure ForData(Qcow2CreateOptions options, long dataBytes, long? bitmaps = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(dataBytes);
        Qcow2Creator.Validate(options);
        var geometry = options.Geometry;
        var clusters = geometry.ClustersFor(options.RoundedSize);
        var size = (Int128)clusters << geometry.ClusterBits;
        var tables = geometry.L1EntriesFor(options.RoundedSize);
        var metadata = 1 + geometry.ClustersFor(tables * 8) + tables;
        var (table, blocks) = ImagePlan.RefcountsFor(geometry, metadata + clusters);
        var full = (Int128)(metadata + table + blocks + clusters) << geometry.ClusterBits;
        var luks = geometry.ClustersFor(options.Encryption?.PayloadOffset ?? 0) << geometry.ClusterBits;
        if (full + luks > long.MaxValue)
        {
            throw new BlockException(ErrorCode.TooLarge, "The image is too long for clusters of this size: larger clusters reach farther");
        }

        var data = options.Preallocation is Preallocation.Falloc or Preallocation.Full ? size : dataBytes;
        return new Qcow2Measure
        {
            FullyAllocated = (long)full + luks,
            Required = (long)(full - size + data) + luks,
            Bitmaps = bitmaps,
        };
    }

    /// <summary>
    /// Adds an extent with data to a sum of whole clusters. Give the extents in ascending order, each beginning at or after
    /// the end that the one before gave.
    /// </summary>
    /// <param name="clusterSize">Bytes of a cluster; a power of two.</param>
    /// <param name="offset">The extent's first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <param name="end">The end of its last cluster: what follows counts from there.</param>
    /// <returns>Bytes of the clusters it touches.</returns>
    public static long DataOf(int clusterSize, long offset, long length, out long end)
    {
        if (!BitOperations.IsPow2(clusterSize))
        {
            throw new ArgumentException("A cluster's size is a power of two.", nameof(clusterSize));
        }

        var start = offset & -clusterSize;
        end = (offset + length + clusterSize - 1) & -clusterSize;
        return end - start;
    }
}
