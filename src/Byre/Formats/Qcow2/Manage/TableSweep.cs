using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Goes over whole L2 tables in the order of the file, in large reads and writes, past the caches. For images without an
/// external data file, whose clusters all have refcounts.
/// </summary>
/// <param name="file">The image file.</param>
/// <param name="header">Its header.</param>
internal sealed class TableSweep(BlockEdge file, Qcow2Header header)
{
    private const ulong StoredCopied = 0x80; // the COPIED flag of an entry whose bytes are as on disk

    private readonly ImageGeometry geometry = ImageGeometry.From(header);
    private readonly int step = header.L2EntrySize / 8;

    /// <summary>The L2 tables that an L1 table names, in the order of the file.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: one does not begin where a cluster does.</exception>
    public List<long> TablesOf(ResidentTable l1)
    {
        var tables = new List<long>();
        for (var i = 0; i < l1.Count; i++)
        {
            var table = new L1Entry(l1[i]).Table;
            if (!geometry.IsClusterAligned(table))
            {
                throw Damaged($"the L2 table at {table} does not begin where a cluster does");
            }

            if (table != HostOffset.Zero)
            {
                tables.Add(table.Value);
            }
        }

        tables.Sort();
        return tables;
    }

    /// <summary>Changes the counts of the tables and of all clusters that they name.</summary>
    /// <param name="tables">What <see cref="TablesOf"/> says.</param>
    /// <param name="tally">Where it is counted.</param>
    /// <param name="change">1 or -1; or 0, where it is only seen that all are counted.</param>
    /// <exception cref="BlockException">As <see cref="RefcountTally.Add"/>; or an entry cannot be true.</exception>
    public async ValueTask CountAsync(List<long> tables, RefcountTally tally, int change)
    {
        foreach (var table in tables)
        {
            await tally.AddAsync(table >> header.ClusterBits, 1, change).ConfigureAwait(false);
        }

        await SweepAsync(tables, async bytes =>
        {
            var at = 0;
            while (true)
            {
                var missing = Count(bytes.Span, tally, change, ref at);
                if (missing < 0)
                {
                    return false;
                }

                await tally.LoadAsync(missing).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
    }

    /// <summary>Clears the COPIED flag of all entries.</summary>
    public ValueTask ClearCopiedAsync(List<long> tables) => SweepAsync(tables, bytes => new(ClearCopied(bytes.Span)));

    /// <summary>Makes the COPIED flag of all entries agree with their clusters' counts.</summary>
    public ValueTask MarkCopiedAsync(List<long> tables, RefcountTally tally) => SweepAsync(tables, async bytes =>
    {
        var at = 0;
        var isChanged = false;
        while (true)
        {
            var missing = MarkCopied(bytes.Span, tally, ref at, ref isChanged);
            if (missing < 0)
            {
                return isChanged;
            }

            await tally.LoadAsync(missing).ConfigureAwait(false);
        }
    });

    /// <summary>Reads tables that follow each other in the file at once, has something done to them, and writes what it changed.</summary>
    private async ValueTask SweepAsync(List<long> tables, Func<Memory<byte>, ValueTask<bool>> visit)
    {
        var size = header.ClusterSize;
        using var buffer = BufferPool.Rent((int)Math.Clamp(tables.Count * (long)size, size, TableReader.BatchSize));
        for (var i = 0; i < tables.Count;)
        {
            var count = 1;
            while (i + count < tables.Count && tables[i + count] == tables[i] + ((long)count * size) && (count + 1) * size <= buffer.Memory.Length)
            {
                count++;
            }

            var bytes = buffer.Memory[..(count * size)];
            file.DebugEvent(BlkdebugEvent.L2Load);
            await PaddedReads.ReadAsync(file, tables[i], bytes).ConfigureAwait(false);
            if (await visit(bytes).ConfigureAwait(false))
            {
                file.DebugEvent(BlkdebugEvent.L2Update);
                await file.WriteAsync(tables[i], bytes).ConfigureAwait(false);
            }

            i += count;
        }
    }

    /// <summary>Counts the clusters of entries from one on; those that follow each other in the file as one.</summary>
    /// <returns>A cluster whose count must be loaded first, or -1 at the end.</returns>
    private long Count(ReadOnlySpan<byte> bytes, RefcountTally tally, int change, ref int at)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(bytes);
        while (at < entries.Length)
        {
            var raw = BinaryPrimitives.ReverseEndianness(entries[at]);
            if ((raw & (L2Entry.OffsetMask | L2Entry.CompressedBit)) == 0)
            {
                at += step;
                continue;
            }

            var (first, clusters) = ClustersOf(new L2Entry(raw));
            var next = at + step;
            if ((raw & L2Entry.CompressedBit) == 0)
            {
                for (var expected = raw; next < entries.Length; next += step, clusters++)
                {
                    expected += (ulong)header.ClusterSize;
                    if (BinaryPrimitives.ReverseEndianness(entries[next]) != expected)
                    {
                        break;
                    }
                }
            }

            var missing = tally.FindMissing(first, clusters);
            if (missing >= 0)
            {
                return missing;
            }

            tally.Add(first, clusters, change);
            at = next;
        }

        return -1;
    }

    private bool ClearCopied(Span<byte> bytes)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(bytes);
        var isChanged = false;
        for (var i = 0; i < entries.Length; i += step)
        {
            if ((entries[i] & StoredCopied) != 0)
            {
                entries[i] &= ~StoredCopied;
                isChanged = true;
            }
        }

        return isChanged;
    }

    private long MarkCopied(Span<byte> bytes, RefcountTally tally, ref int at, ref bool isChanged)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (; at < entries.Length; at += step)
        {
            var raw = BinaryPrimitives.ReverseEndianness(entries[at]);
            if ((raw & (L2Entry.OffsetMask | L2Entry.CompressedBit)) == 0)
            {
                continue;
            }

            var isAlone = false;
            if ((raw & L2Entry.CompressedBit) == 0)
            {
                var (cluster, _) = ClustersOf(new L2Entry(raw));
                var missing = tally.FindMissing(cluster, 1);
                if (missing >= 0)
                {
                    return missing;
                }

                isAlone = tally.CountOf(cluster) == 1;
            }

            var flagged = isAlone ? entries[at] | StoredCopied : entries[at] & ~StoredCopied;
            isChanged |= flagged != entries[at];
            entries[at] = flagged;
        }

        return -1;
    }

    /// <summary>The host clusters that an entry refers to.</summary>
    private (long First, long Count) ClustersOf(in L2Entry entry)
    {
        if (entry.IsCompressed)
        {
            var (offset, length) = entry.CompressedPlace(geometry);
            var first = geometry.ClusterOf(offset);
            return (first, geometry.ClusterOf(offset + (length - 1)) - first + 1);
        }

        return geometry.IsClusterAligned(entry.Host)
            ? (geometry.ClusterOf(entry.Host), 1)
            : throw Damaged($"the L2 entry 0x{entry.Raw:x} names no cluster's beginning");
    }

    private BlockException Damaged(string what) =>
        new(ErrorCode.Corrupt, $"The image '{file.Node.FileName}' must be repaired first: {what}", file.Node.FileName);
}
