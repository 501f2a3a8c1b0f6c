using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Where everything is in a new image: header, refcount table, refcount blocks, L1 table, LUKS header, L2 tables,
/// data; all counts in
/// clusters, nothing between them.
/// </summary>
internal readonly record struct ImagePlan
{
    internal required ImageGeometry Geometry { get; init; }

    internal long RefcountTableClusters { get; private init; }

    internal long RefcountBlocks { get; private init; }

    internal long L1Entries { get; private init; }

    internal long L1Clusters { get; private init; }

    internal long L2Tables { get; private init; }

    internal long DataClusters { get; private init; }

    internal const long RefcountTableStart = 1;

    internal long RefcountBlocksStart => RefcountTableStart + RefcountTableClusters;

    internal long L1Start => RefcountBlocksStart + RefcountBlocks;

    /// <summary>The LUKS header of an encrypted image.</summary>
    internal long LuksStart => L1Start + L1Clusters;

    internal long LuksClusters { get; private init; }

    internal long L2Start => LuksStart + LuksClusters;

    internal long DataStart => L2Start + L2Tables;

    internal long TotalClusters => DataStart + DataClusters;

    /// <summary>Lays out an image.</summary>
    /// <param name="geometry">Its sizes.</param>
    /// <param name="size">The disk's length in bytes.</param>
    /// <param name="withL2">There are L2 tables for all of it.</param>
    /// <param name="withData">There are data clusters for all of it.</param>
    /// <param name="luksBytes">Bytes of the LUKS header, 0 for none.</param>
    internal static ImagePlan For(in ImageGeometry geometry, long size, bool withL2, bool withData, long luksBytes = 0)
    {
        var entries = geometry.L1EntriesFor(size);
        var l1Clusters = geometry.ClustersFor(entries * 8);
        var l2Tables = withL2 ? entries : 0;
        var data = withData ? geometry.ClustersFor(size) : 0;
        var luks = geometry.ClustersFor(luksBytes);
        var others = 1 + luks + l1Clusters + l2Tables + data;
        var (table, blocks) = RefcountsFor(geometry, others);
        return new ImagePlan
        {
            Geometry = geometry,
            L1Entries = entries,
            L1Clusters = l1Clusters,
            LuksClusters = luks,
            L2Tables = l2Tables,
            DataClusters = data,
            RefcountTableClusters = table,
            RefcountBlocks = blocks,
        };
    }

    /// <summary>Clusters of the refcount table and blocks that count <paramref name="others"/> clusters and themselves.</summary>
    internal static (long Table, long Blocks) RefcountsFor(in ImageGeometry geometry, long others)
    {
        var table = 0L;
        var blocks = 0L;
        while (true)
        {
            var total = others + table + blocks;
            var newBlocks = (total >> geometry.RefcountBlockBits) + ((total & (geometry.RefcountBlockEntries - 1)) != 0 ? 1 : 0);
            var newTable = geometry.ClustersFor(newBlocks * 8);
            if (newBlocks == blocks && newTable == table)
            {
                return (table, blocks);
            }

            (table, blocks) = (newTable, newBlocks);
        }
    }
}
