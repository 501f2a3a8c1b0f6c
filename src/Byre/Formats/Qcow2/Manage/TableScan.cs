using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

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
    public async ValueTask ScanL1Async(IReadOnlyList<SnapshotRecord> snapshots)
    {
        var bytes = new WeightedRanges();
        var clusters = new WeightedRanges();
        AddL1(bytes, clusters, header.L1Offset, (long)header.L1Entries * 8, null);
        foreach (var snapshot in snapshots)
        {
            AddL1(bytes, clusters, snapshot.L1Offset, snapshot.L1Bytes, snapshot);
        }

        scan.Reference(MetadataKind.L1Table, clusters);
        var buffer = new byte[64 << 10];
        foreach (var (start, stop, weight, active) in bytes.Segments())
        {
            for (var at = start; at < stop; at += buffer.Length)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, stop - at));
                await scan.Reader.ReadAsync(at, piece).ConfigureAwait(false);
                CheckL1(at, piece.Span, weight, active);
            }
        }
    }

    private void AddL1(WeightedRanges bytes, WeightedRanges clusters, long offset, long length, SnapshotRecord? snapshot)
    {
        var remedy = snapshot is { IsLost: true } && scan.Snapshots.MustRewrite ? CheckRemedy.DropSnapshot : CheckRemedy.None;
        var place = snapshot is { } s ? new FindingPlace(s.Offset, CheckTable.SnapshotTable) : new(HeaderFields.L1Offset, CheckTable.Header);
        _ = scan.AddTable(clusters, offset, length, snapshot is null ? "the L1 table" : "a snapshot's L1 table", place, remedy);
        var entriesInFile = (Math.Min(length, scan.FileLength - offset) + 7) & ~7;
        bytes.Add(offset, offset + entriesInFile, snapshot is null);
    }

    private void CheckL1(long at, Span<byte> table, long weight, long active)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(table);
        for (var i = 0; i < entries.Length; i++)
        {
            if (entries[i] != 0)
            {
                CheckL1Entry(at + (i * 8), BinaryPrimitives.ReverseEndianness(entries[i]), weight, active);
            }
        }
    }

    private FindingPlace PlaceOf(long at, long active)
    {
        var index = active > 0 ? (at - header.L1Offset) / 8 : default(long?);
        return new(at, CheckTable.L1, index, index << scan.Geometry.L1Shift);
    }

    private void CheckL1Entry(long at, ulong raw, long weight, long active)
    {
        var place = PlaceOf(at, active);
        var entry = new L1Entry(raw);
        var offset = entry.Table.Value;
        if (entry.HasReservedBits)
        {
            findings.Corruption(CheckFindingKind.ReservedBits, weight, CheckRemedy.None, place, findings.WantsLines ? $"L1 entry {raw:x16} has reserved bits set" : null);
        }

        if (active > 0 && offset != 0 && scan.Stored.TryGet(offset >> header.ClusterBits, out var count)
            && (count == 1) != entry.IsCopied)
        {
            findings.Corruption(CheckFindingKind.CopiedFlag, active, CheckRemedy.SetCopiedFlag, place, findings.WantsLines
                ? $"the COPIED flag of L1 entry {raw:x16} contradicts the refcount {count}" : null);
        }

        var isAligned = (offset & (header.ClusterSize - 1)) == 0;
        if (!isAligned)
        {
            findings.Corruption(CheckFindingKind.Misaligned, weight, CheckRemedy.None, place, findings.WantsLines ? $"L1 entry {raw:x16} leads to no cluster's beginning" : null);
        }

        if (!scan.Reference(MetadataKind.L2Table, offset, header.ClusterSize, "an L2 table", weight, isShared: true, place))
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
            findings.Note(CheckFindingKind.NotFollowed, place, $"the table at {offset:x} is not followed: too many are misaligned");
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
            var table = all.Slice(i * (header.ClusterSize / 8), header.ClusterSize / 8);
            Entries.Check(table, start + ((long)i * header.ClusterSize), batch[i].Weight, batch[i].Active);
        }
    }
}
