using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Makes a refcount table and blocks of another width, behind the end of the file, out of what the image's tables refer to.
/// Nothing leads to them until the header does; then the old ones belong to nothing. Leaked clusters are free afterwards.
/// </summary>
internal sealed class AmendRefcounts
{
    private const long MaxTableBytes = 8L << 20;

    private readonly BlockEdge file;
    private readonly Qcow2Header header;
    private readonly ImageScan scan;
    private readonly int order;
    private readonly int blockBits;
    private readonly long start;
    private readonly SortedSet<long> blocks = [];
    private long tableClusters;

    private AmendRefcounts(BlockEdge file, Qcow2Header header, ImageScan scan, int order)
    {
        this.file = file;
        this.header = header;
        this.scan = scan;
        this.order = order;
        blockBits = header.ClusterBits + 3 - order;
        start = scan.Clusters;
    }

    /// <summary>Makes them; they are on stable storage when this completes.</summary>
    /// <param name="file">The image file. Nobody changes it meanwhile, and nothing of the image is in memory only.</param>
    /// <param name="header">Its header.</param>
    /// <param name="order">The binary logarithm of the new width in bits, 0 to 6.</param>
    /// <returns>The header that leads to them, which is to be stored.</returns>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Corrupt"/>: the image must be repaired first. <see cref="ErrorCode.NotSupported"/>: a count does not
    /// fit. <see cref="ErrorCode.TooLarge"/>: the table would be too long. Or a request failed.
    /// </exception>
    public static async ValueTask<Qcow2Header> RunAsync(BlockEdge file, Qcow2Header header, int order)
    {
        var name = file.Node.FileName;
        var report = await Qcow2Checker.CheckAsync(file, header, header.HasDataFile, RepairMode.None).ConfigureAwait(false);
        if (report.Corruptions > 0 || report.CheckErrors > 0 || report.Aborted is not null)
        {
            throw new BlockException(ErrorCode.Corrupt, $"A check of '{name}' finds errors: it must be repaired before its reference counts can be changed", name);
        }

        var scan = await ImageScan.RunAsync(file, header, header.HasDataFile, countRefcounts: false, null).ConfigureAwait(false);
        var change = new AmendRefcounts(file, header, scan, order);
        change.FindBlocks();
        change.Place();
        return await change.WriteAsync().ConfigureAwait(false);
    }

    private void FindBlocks()
    {
        var max = (long)Math.Min(RefcountWidth.Max(order), long.MaxValue);
        for (long first = 0; first < scan.Clusters; first += ReferenceCounts.PageSize)
        {
            if (scan.Counts.Page(first >> ReferenceCounts.PageBits).IsEmpty)
            {
                continue;
            }

            for (var cluster = first; cluster < Math.Min(scan.Clusters, first + ReferenceCounts.PageSize); cluster++)
            {
                var count = scan.Counts[cluster];
                if (count > max)
                {
                    throw new BlockException(
                        ErrorCode.NotSupported,
                        $"Reference counts of {1 << order} bits are too narrow for '{file.Node.FileName}': the cluster at {cluster << header.ClusterBits} has {count} references",
                        file.Node.FileName);
                }

                if (count > 0)
                {
                    blocks.Add(cluster >> blockBits);
                }
            }
        }
    }

    /// <summary>The new structures' own clusters are counted too, which may need more blocks, and a longer table.</summary>
    private void Place()
    {
        for (long before = -1; before != tableClusters + blocks.Count;)
        {
            before = tableClusters + blocks.Count;
            for (var index = start >> blockBits; index <= (start + Math.Max(before, 1) - 1) >> blockBits; index++)
            {
                blocks.Add(index);
            }

            tableClusters = ImageScan.ClustersIn((blocks.Max + 1) * 8, header.ClusterBits);
            if (tableClusters << header.ClusterBits > MaxTableBytes)
            {
                throw new BlockException(
                    ErrorCode.TooLarge, $"The file '{file.Node.FileName}' is too long for reference counts of {1 << order} bits", file.Node.FileName);
            }
        }
    }

    private async ValueTask<Qcow2Header> WriteAsync()
    {
        var table = new byte[tableClusters << header.ClusterBits];
        var block = new byte[header.ClusterSize];
        var end = start + tableClusters + blocks.Count;
        var at = (start + tableClusters) << header.ClusterBits;
        foreach (var index in blocks)
        {
            block.AsSpan().Clear();
            for (var i = 0; i < 1 << blockBits; i++)
            {
                var cluster = (index << blockBits) + i;
                var count = cluster >= end ? 0 : cluster >= start ? 1 : scan.Counts[cluster];
                if (count != 0)
                {
                    RefcountWidth.Set(block, order, i, (ulong)count);
                }
            }

            BinaryPrimitives.WriteInt64BigEndian(table.AsSpan((int)index * 8), at);
            await file.WriteAsync(at, block).ConfigureAwait(false);
            at += header.ClusterSize;
        }

        await file.WriteAsync(start << header.ClusterBits, table).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        return header with { RefcountOrder = order, RefcountTableOffset = start << header.ClusterBits, RefcountTableClusters = (uint)tableClusters };
    }
}
