using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Puts the COPIED flags of the active tables right (qcow2 specification, "Cluster mapping"). A table that something else
/// overlaps, or that is used more than once, is left alone.
/// </summary>
/// <param name="scan">What is so now.</param>
/// <param name="hasExternalData">Guest data lies in another file.</param>
/// <param name="keepsCounts">Counts that are too high stay so: the flags are to agree with them.</param>
/// <param name="write">Writes a changed table to its place in the file.</param>
internal sealed class CopiedRepair(ImageScan scan, bool hasExternalData, bool keepsCounts, Func<long, byte[], ValueTask> write)
{
    /// <summary>Goes over the L2 tables, then the L1 table.</summary>
    /// <exception cref="Byre.Nodes.BlockException">A table cannot be read or written.</exception>
    public async ValueTask RunAsync()
    {
        var table = new byte[scan.Header.ClusterSize];
        foreach (var (offset, _, active) in scan.Tables.AlignedTables())
        {
            if (active == 0 || !scan.Kinds.IsOnly(MetadataKind.L2Table, offset >> scan.Header.ClusterBits, 1))
            {
                continue;
            }

            await scan.Reader.ReadAsync(offset, table).ConfigureAwait(false);
            if (FixCopied(table, scan.Header.L2EntrySize, isL1: false))
            {
                await write(offset, table).ConfigureAwait(false);
            }
        }

        var l1 = new byte[(int)Math.Clamp(scan.FileLength - scan.Header.L1Offset, 0, (long)scan.Header.L1Entries * 8) & ~7];
        var first = scan.Header.L1Offset >> scan.Header.ClusterBits;
        var clusters = ImageScan.ClustersIn(l1.Length, scan.Header.ClusterBits);
        if (l1.Length == 0 || !scan.Kinds.IsOnly(MetadataKind.L1Table, first, clusters) || !IsOnce(first, clusters))
        {
            return;
        }

        await scan.Reader.ReadAsync(scan.Header.L1Offset, l1).ConfigureAwait(false);
        if (FixCopied(l1, 8, isL1: true))
        {
            await write(scan.Header.L1Offset, l1).ConfigureAwait(false);
        }
    }

    private bool IsOnce(long first, long clusters)
    {
        for (var i = 0; i < clusters; i++)
        {
            if (scan.Counts[first + i] != 1)
            {
                return false;
            }
        }

        return true;
    }

    private bool FixCopied(byte[] table, int entrySize, bool isL1)
    {
        var changed = false;
        for (var at = 0; at < table.Length; at += entrySize)
        {
            var entry = table.AsSpan(at);
            var raw = BinaryPrimitives.ReadUInt64BigEndian(entry);
            var offset = (long)(raw & L2Entry.OffsetMask); // L1 entries have it in the same bits
            if (isL1 ? offset == 0 : !L2Scan.IsStandardAllocated(scan.Header.HasSubclusters, raw, hasExternalData))
            {
                continue;
            }

            bool isOne;
            if (hasExternalData && !isL1)
            {
                isOne = true;
            }
            else if (keepsCounts || offset >= scan.FileLength)
            {
                // Nothing counts references behind the file's end: what is stored stays.
                isOne = scan.Stored.TryGet(offset >> scan.Header.ClusterBits, out var stored) && stored == 1;
            }
            else
            {
                isOne = scan.Counts[offset >> scan.Header.ClusterBits] == 1;
            }

            if (isOne != ((raw & L2Entry.CopiedBit) != 0))
            {
                BinaryPrimitives.WriteUInt64BigEndian(entry, raw ^ L2Entry.CopiedBit);
                changed = true;
            }
        }

        return changed;
    }
}
