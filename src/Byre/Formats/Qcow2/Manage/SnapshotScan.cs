using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Walks over the snapshot table (qcow2 specification, "Snapshots"), for the L1 tables it names and for its own clusters, and
/// knows which entries a repair keeps.
/// </summary>
internal sealed class SnapshotScan(ImageScan scan)
{
    private const int FixedBytes = SnapshotEntryStart.FixedLength;
    private const int Version3ExtraBytes = 16;
    private const int ComparedIdBytes = 256;

    private readonly List<SnapshotRecord> records = [];
    private bool isDamaged;

    /// <summary>Where the table is cannot be known: nothing is repaired that could belong to it.</summary>
    public bool IsNowhere { get; private set; }

    /// <summary>Some snapshots cannot be read, so that what they use may look like leaks.</summary>
    public bool HasLost { get; private set; }

    /// <summary>There are no snapshots, and the place of their table is one that QEMU refuses.</summary>
    public bool HasStrayPlace { get; private set; }

    /// <summary>A repair writes the table anew.</summary>
    public bool MustRewrite => isDamaged && !IsNowhere;

    /// <summary>Reads the table. What is wrong with it is found, and the rest is read.</summary>
    /// <returns>The place and length of each L1 table that may be read.</returns>
    /// <exception cref="BlockException">The table cannot be read.</exception>
    public async ValueTask<IReadOnlyList<SnapshotRecord>> ReadAsync()
    {
        var header = scan.Header;
        if (header.SnapshotCount == 0)
        {
            HasStrayPlace = header.SnapshotsOffset < 0 || (header.SnapshotsOffset & (header.ClusterSize - 1)) != 0;
            scan.Findings.Corruption(CheckFindingKind.SnapshotTable, HasStrayPlace ? 1 : 0, CheckRemedy.MendSnapshot,
                new(HeaderFields.SnapshotsOffset, CheckTable.Header), "the header has no snapshots, and a place for their table that cannot be right");
            return [];
        }

        var start = header.SnapshotsOffset;
        IsNowhere = start <= 0 || (start & (header.ClusterSize - 1)) != 0 || start > long.MaxValue - (1L << 32);
        if (IsNowhere)
        {
            HasLost = true;
            scan.Findings.Corruption(CheckFindingKind.SnapshotTable, 1, CheckRemedy.None, new(HeaderFields.SnapshotsOffset, CheckTable.Header),
                "the header's place of the snapshot table cannot be right: the snapshots are not checked");
            return [];
        }

        IsNowhere = start >= scan.FileLength;
        var count = Math.Min(header.SnapshotCount, Qcow2Limits.MaxSnapshots);
        if (count < header.SnapshotCount)
        {
            Lose(CheckFindingKind.SnapshotTable, header.SnapshotCount - count, new(HeaderFields.SnapshotCount, CheckTable.Header),
                $"the header has {header.SnapshotCount} snapshots, more than there can be");
        }

        var end = await ReadEntriesAsync(start, count).ConfigureAwait(false);
        scan.Reference(MetadataKind.SnapshotTable, start, end - start, "the snapshot table");
        return [.. records.Where(r => IsFollowed(r))];
    }

    /// <summary>The table as a repair writes it: without the snapshots that nothing can read.</summary>
    /// <returns>Its bytes, and how many entries they are.</returns>
    /// <exception cref="BlockException">The table cannot be read.</exception>
    public async ValueTask<(byte[] Bytes, uint Count)> BuildAsync()
    {
        using var table = new MemoryStream();
        uint count = 0;
        foreach (var record in records)
        {
            if (record.IsLost)
            {
                continue;
            }

            table.Write(await BytesOfAsync(record).ConfigureAwait(false));
            table.SetLength((table.Length + 7) & ~7);
            table.Position = table.Length;
            count++;
        }

        return (table.ToArray(), count);
    }

    private async ValueTask<long> ReadEntriesAsync(long start, uint count)
    {
        var at = start;
        var bytes = new byte[FixedBytes];
        var ids = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0u; i < count; i++)
        {
            at = (at + 7) & ~7;
            await scan.Reader.ReadAsync(at, bytes).ConfigureAwait(false);
            var entry = SnapshotEntryStart.Read(bytes);
            var next = at + entry.Length;
            if (next - start > Qcow2Limits.MaxSnapshotTableBytes)
            {
                Lose(CheckFindingKind.SnapshotTable, count - i, new(at, CheckTable.SnapshotTable, i),
                    $"snapshot table entry {i} makes the table larger than any: it and those behind it cannot be read");
                return at;
            }

            CheckExtra(at, i, entry.ExtraLength);
            if (entry.IdLength <= ComparedIdBytes)
            {
                var id = new byte[entry.IdLength];
                await scan.Reader.ReadAsync(at + FixedBytes + entry.ExtraLength, id).ConfigureAwait(false);
                if (!ids.Add(Encoding.Latin1.GetString(id)))
                {
                    scan.Findings.Note(CheckFindingKind.DuplicateSnapshot, new(at, CheckTable.SnapshotTable, i), scan.Findings.WantsLines
                        ? $"snapshot table entry {i} has the id of another" : null);
                }
            }

            CheckL1(at, i, entry);
            at = next;
        }

        return at;
    }

    private void CheckExtra(long at, uint index, uint extra)
    {
        if (extra > Qcow2Limits.MaxSnapshotExtraBytes)
        {
            Damaged(CheckFindingKind.SnapshotEntry, CheckRemedy.MendSnapshot, at, index, $"claims {extra} extra bytes, more than there can be");
        }
        else if (scan.Header.Version >= 3 && extra < Version3ExtraBytes)
        {
            var remedy = at >= scan.FileLength ? CheckRemedy.DropSnapshot : CheckRemedy.MendSnapshot;
            Damaged(CheckFindingKind.SnapshotEntry, remedy, at, index, "is incomplete");
        }
    }

    private void CheckL1(long at, uint index, in SnapshotEntryStart entry)
    {
        var offset = entry.L1Offset;
        var length = entry.L1Entries * 8L;
        var isBehind = at >= scan.FileLength;
        if (offset < 0 || (offset & (scan.Header.ClusterSize - 1)) != 0)
        {
            Damaged(CheckFindingKind.SnapshotEntry, CheckRemedy.DropSnapshot, at, index, "has its L1 table at no cluster's beginning");
            isBehind = true;
        }
        else if (length > Qcow2Limits.MaxL1Bytes)
        {
            Damaged(CheckFindingKind.SnapshotEntry, CheckRemedy.DropSnapshot, at, index, "has an L1 table that is too large");
            isBehind = true;
        }

        // The header and what lies behind the file's end are no L1 table; these are counted when it is read.
        var isLost = isBehind || (length > 0 && (offset == 0 || offset >= scan.FileLength));
        HasLost |= isLost;
        isDamaged |= isLost;
        records.Add(new(at, entry.ExtraLength, entry.IdLength + entry.NameLength, offset, length, isLost));
    }

    private bool IsFollowed(SnapshotRecord record) =>
        record.L1Offset >= 0 && (record.L1Offset & (scan.Header.ClusterSize - 1)) == 0 && record.L1Bytes <= Qcow2Limits.MaxL1Bytes;

    /// <summary>An entry as a repair writes it: with all the extra data that version 3 wants, and no more than there can be.</summary>
    private async ValueTask<byte[]> BytesOfAsync(SnapshotRecord record)
    {
        var extra = (int)Math.Min(record.ExtraBytes, Qcow2Limits.MaxSnapshotExtraBytes);
        var bytes = new byte[FixedBytes + extra + record.TailBytes];
        await scan.Reader.ReadAsync(record.Offset, bytes.AsMemory(0, FixedBytes + extra)).ConfigureAwait(false);
        await scan.Reader.ReadAsync(record.Offset + FixedBytes + record.ExtraBytes, bytes.AsMemory(FixedBytes + extra)).ConfigureAwait(false);
        (SnapshotEntryStart.Read(bytes) with { ExtraLength = (uint)extra }).Write(bytes);
        if (scan.Header.Version < 3 || extra >= Version3ExtraBytes)
        {
            return bytes;
        }

        // The disk's length is taken to be what it is now.
        var entry = SnapshotEntry.Read(bytes, TableWindow.NameOf(scan.Reader.File), out _);
        var complete = new byte[entry.Length];
        entry.Write(complete, scan.Header.Size);
        return complete;
    }

    private void Damaged(CheckFindingKind kind, CheckRemedy remedy, long at, uint index, string what)
    {
        isDamaged = true;
        scan.Findings.Corruption(kind, 1, IsNowhere ? CheckRemedy.None : remedy, new(at, CheckTable.SnapshotTable, index),
            scan.Findings.WantsLines ? $"snapshot table entry {index} {what}" : null);
    }

    private void Lose(CheckFindingKind kind, long count, FindingPlace place, string line)
    {
        isDamaged = HasLost = true;
        scan.Findings.Corruption(kind, count, IsNowhere ? CheckRemedy.None : CheckRemedy.DropSnapshot, place, line);
    }
}
