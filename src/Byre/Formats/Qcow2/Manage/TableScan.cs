using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Walks over the L1 tables and the L2 tables that they name, the active ones and those of snapshots.</summary>
internal sealed class TableScan(ImageScan scan)
{
    private const int MaxMisalignedTables = 64;

    private readonly Qcow2Header header = scan.Header;
    private readonly CheckFindings findings = scan.Findings;
    private readonly ReferenceCounts tables = new(scan.Clusters + 1); // L1 entries that lead to the L2 table in a cluster
    private readonly ReferenceCounts activeTables = new(scan.Clusters + 1); // those of the active L1 table among them
    private readonly Dictionary<long, (long Weight, long Active)> misalignedTables = [];

    /// <summary>Checks what the L2 tables hold, and counts the guest's clusters.</summary>
    public L2Scan Entries { get; } = new(scan);

    /// <summary>The aligned L2 tables in the file, in order: how many L1 entries lead to each, how many of them active ones.</summary>
    public IEnumerable<(long Offset, long Weight, long Active)> AlignedTables()
    {
        for (long page = 0; page <= scan.Clusters >> ReferenceCounts.PageBits; page++)
        {
            for (var at = 0; tables.Page(page) is { IsEmpty: false } counts; at++)
            {
                var next = counts[at..].IndexOfAnyExcept((byte)0);
                if (next < 0)
                {
                    break;
                }

                at += next;
                var cluster = (page << ReferenceCounts.PageBits) + at;
                yield return (cluster << header.ClusterBits, tables[cluster], activeTables[cluster]);
                if (at == ReferenceCounts.PageSize - 1)
                {
                    break;
                }
            }
        }
    }

    /// <summary>Reads the L1 tables, and refers to the L2 tables they name.</summary>
    public async ValueTask ScanL1Async(IReadOnlyList<(long Offset, long Length)> snapshots)
    {
        var bytes = new WeightedRanges();
        var clusters = new WeightedRanges();
        AddL1(bytes, clusters, header.L1Offset, (long)header.L1Entries * 8, true);
        foreach (var (offset, length) in snapshots)
        {
            AddL1(bytes, clusters, offset, length, false);
        }

        scan.Reference(MetadataKind.L1Table, clusters);
        var buffer = new byte[64 << 10];
        foreach (var (start, stop, weight, active) in bytes.Segments())
        {
            for (var at = start; at < stop; at += buffer.Length)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, stop - at));
                await scan.Reader.ReadAsync(at, piece).ConfigureAwait(false);
                CheckL1(piece.Span, weight, active);
            }
        }
    }

    private void AddL1(WeightedRanges bytes, WeightedRanges clusters, long offset, long length, bool active)
    {
        scan.AddTable(clusters, offset, length, active ? "the L1 table" : "a snapshot's L1 table");
        var entriesInFile = (Math.Min(length, scan.FileLength - offset) + 7) & ~7;
        bytes.Add(offset, offset + entriesInFile, active);
    }

    private void CheckL1(Span<byte> table, long weight, long active)
    {
        foreach (var stored in MemoryMarshal.Cast<byte, ulong>(table))
        {
            if (stored != 0)
            {
                CheckL1Entry(BinaryPrimitives.ReverseEndianness(stored), weight, active);
            }
        }
    }

    private void CheckL1Entry(ulong raw, long weight, long active)
    {
        var entry = new L1Entry(raw);
        var offset = entry.Table.Value;
        if (entry.HasReservedBits)
        {
            findings.Corruption(weight, findings.WantsLines ? $"L1 entry {raw:x16} has reserved bits set" : null);
        }

        if (active > 0 && offset != 0 && scan.Stored.TryGet(offset >> header.ClusterBits, out var count)
            && (count == 1) != entry.IsCopied)
        {
            findings.CopiedCorruption(active, findings.WantsLines
                ? $"the COPIED flag of L1 entry {raw:x16} contradicts the refcount {count}" : null);
        }

        var isAligned = (offset & (header.ClusterSize - 1)) == 0;
        if (!isAligned)
        {
            findings.Corruption(weight, findings.WantsLines ? $"L1 entry {raw:x16} leads to no cluster's beginning" : null);
        }

        if (!scan.Reference(MetadataKind.L2Table, offset, header.ClusterSize, "an L2 table", weight, isShared: true))
        {
            return;
        }

        if (isAligned)
        {
            tables.Add(offset >> header.ClusterBits, weight, long.MaxValue);
            if (active > 0)
            {
                activeTables.Add(offset >> header.ClusterBits, active, long.MaxValue);
            }
        }
        else if (misalignedTables.TryGetValue(offset, out var old))
        {
            misalignedTables[offset] = (old.Weight + weight, old.Active + active);
        }
        else if (misalignedTables.Count < MaxMisalignedTables)
        {
            misalignedTables[offset] = (weight, active);
        }
        else
        {
            findings.Note($"the table at {offset:x} is not followed: too many are misaligned");
        }
    }

    /// <summary>Reads each L2 table once, in the order of the file.</summary>
    public async ValueTask ScanL2Async(IProgress<double>? progress)
    {
        var size = header.ClusterSize;
        var buffer = new byte[Math.Max(TableReader.BatchSize, size)];
        List<(long Weight, long Active)> batch = [];
        var start = 0L;
        foreach (var (offset, weight, active) in AlignedTables())
        {
            var length = (long)batch.Count * size;
            if (batch.Count > 0 && (offset != start + length || length + size > buffer.Length))
            {
                await ScanBatchAsync(buffer, start, batch).ConfigureAwait(false);
                batch.Clear();
                progress?.Report((double)offset / scan.FileLength);
            }

            start = batch.Count == 0 ? offset : start;
            batch.Add((weight, active));
        }

        await ScanBatchAsync(buffer, start, batch).ConfigureAwait(false);
        foreach (var (offset, (weight, active)) in misalignedTables)
        {
            await ScanBatchAsync(buffer, offset, [(weight, active)]).ConfigureAwait(false);
        }

        progress?.Report(1);
    }

    private async ValueTask ScanBatchAsync(byte[] buffer, long start, List<(long Weight, long Active)> batch)
    {
        var bytes = buffer.AsMemory(0, batch.Count * header.ClusterSize);
        await scan.Reader.ReadAsync(start, bytes).ConfigureAwait(false);
        var all = MemoryMarshal.Cast<byte, ulong>(bytes.Span);
        BinaryPrimitives.ReverseEndianness(all, all);
        for (var i = 0; i < batch.Count; i++)
        {
            // An L1 entry that leads to the header has no table of its own whose flags could be wrong.
            var table = all.Slice(i * (header.ClusterSize / 8), header.ClusterSize / 8);
            Entries.Check(table, batch[i].Weight, batch[i].Active, hasFlags: start + i > 0);
        }
    }
}
