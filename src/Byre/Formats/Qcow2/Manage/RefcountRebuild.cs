using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Makes a refcount table and its blocks anew, behind the end of the file, and lets the header lead to them. The old ones stay
/// as they are until the header is durable, and belong to nothing afterwards.
/// </summary>
internal sealed class RefcountRebuild
{
    private const long MaxTableBytes = 8L << 20;

    private readonly BlockEdge file;
    private readonly Qcow2Header header;
    private readonly ImageScan scan;
    private readonly NewTables tables;
    private readonly bool keepsStored; // where snapshots are cannot be known: what the old counts say is in use stays so
    private readonly int blockBits;
    private readonly long start;
    private readonly List<long> used = [];
    private long tableClusters;
    private long added;

    private RefcountRebuild(BlockEdge file, Qcow2Header header, ImageScan scan, NewTables tables)
    {
        this.file = file;
        this.header = header;
        this.scan = scan;
        this.tables = tables;
        keepsStored = scan.Snapshots.IsNowhere;
        blockBits = header.ClusterBits + 3 - header.RefcountOrder;
        start = scan.Clusters;
    }

    /// <summary>Makes them.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.TooLarge"/>: the file is too long for a refcount table; <see cref="ErrorCode.Corrupt"/>: entries
    /// lead to where they would be put; nothing is written then. Or the file cannot be read or written.
    /// </exception>
    /// <param name="file">The image file.</param>
    /// <param name="headers">Its header.</param>
    /// <param name="hasExternalData">Guest data lies in another file.</param>
    /// <param name="tables">Other tables that are written anew, and that the header leads to as soon as to the new counts.</param>
    public static async ValueTask RunAsync(BlockEdge file, HeaderStore headers, bool hasExternalData, NewTables tables)
    {
        var header = headers.Header;
        var scan = await ImageScan.RunAsync(file, header, hasExternalData, countRefcounts: false, null).ConfigureAwait(false);
        var rebuild = new RefcountRebuild(file, header, scan, tables);
        rebuild.Place();
        if ((rebuild.start + rebuild.added) << header.ClusterBits > scan.FirstLost)
        {
            throw new BlockException(
                ErrorCode.Corrupt,
                $"New refcounts for '{file.Node.FileName}' would lie where the file is cut off and entries still lead to: it cannot be repaired.",
                file.Node.Name);
        }

        await rebuild.WriteAsync(headers).ConfigureAwait(false);
    }

    /// <summary>Finds which blocks are needed; those for the new structures' own clusters add to them.</summary>
    private void Place()
    {
        foreach (var (first, count) in Pieces())
        {
            var index = first >> blockBits;
            if ((used.Count == 0 || used[^1] != index) && (RefcountComparison.References(scan, first, count).ContainsAnyExcept((byte)0)
                || (keepsStored && scan.Stored.Span(first, count).ContainsAnyExcept((byte)0))))
            {
                used.Add(index);
            }
        }

        var before = used.Count;
        for (long last = -1; ;)
        {
            var end = start + added;
            var lastIndex = added == 0 ? used[^1] : Math.Max((end - 1) >> blockBits, used[^1]);
            tableClusters = ImageScan.ClustersIn((lastIndex + 1) * 8, header.ClusterBits);
            if (tableClusters << header.ClusterBits > MaxTableBytes)
            {
                throw new BlockException(
                    ErrorCode.TooLarge, $"The file '{file.Node.FileName}' is too long for a new refcount table.", file.Node.Name);
            }

            if (added == last)
            {
                break;
            }

            last = added;
            used.RemoveRange(before, used.Count - before);
            for (var index = Math.Max(used[^1] + 1, start >> blockBits); added > 0 && index <= lastIndex; index++)
            {
                used.Add(index);
            }

            added = tables.ClustersIn(header.ClusterBits) + tableClusters + used.Count;
        }
    }

    private IEnumerable<(long First, int Count)> Pieces()
    {
        var step = Math.Min(ReferenceCounts.PageSize, 1 << blockBits);
        for (var first = 0L; first < scan.Clusters; first += step)
        {
            if (!keepsStored && scan.Counts.Page(first >> ReferenceCounts.PageBits).IsEmpty)
            {
                continue;
            }

            yield return (first, step);
        }
    }

    private async ValueTask WriteAsync(HeaderStore headers)
    {
        var table = new byte[tableClusters << header.ClusterBits];
        var block = new byte[header.ClusterSize];
        var tableOffset = start << header.ClusterBits;
        var at = (start + tableClusters) << header.ClusterBits;
        foreach (var index in used)
        {
            Fill(block, index);
            BinaryPrimitives.WriteInt64BigEndian(table.AsSpan((int)index * 8), at);
            await file.WriteAsync(at, block).ConfigureAwait(false);
            at += header.ClusterSize;
        }

        await file.WriteAsync(tableOffset, table).ConfigureAwait(false);
        var change = await tables.WriteAsync(file, at, header.ClusterBits).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        Qcow2Header Switched(Qcow2Header h) => change(h) with { RefcountTableOffset = tableOffset, RefcountTableClusters = (uint)tableClusters };
        if (tables.ChangesExtensions)
        {
            await headers.RewriteAsync(Switched).ConfigureAwait(false);
        }
        else
        {
            await headers.UpdateAsync(Switched).ConfigureAwait(false);
        }
    }

    private void Fill(byte[] block, long index)
    {
        block.AsSpan().Clear();
        var first = index << blockBits;
        for (var i = 0; i < 1 << blockBits; i++)
        {
            var cluster = first + i;
            var count = (ulong)(cluster >= start + added ? 0 : cluster >= start ? 1 : scan.Counts[cluster]);
            if (keepsStored && cluster < start && scan.Stored.TryGet(cluster, out var stored))
            {
                count = Math.Max(count, stored);
            }

            if (count != 0)
            {
                RefcountWidth.Set(block, header.RefcountOrder, i, count);
            }
        }
    }
}
