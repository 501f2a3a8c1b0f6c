using System.Buffers.Binary;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Walks over the snapshot table, for the L1 tables it names and for its own clusters.</summary>
internal static class SnapshotScan
{
    private const int FixedBytes = 40;
    private const int MaxSnapshots = 65536;
    private const long MaxTableBytes = 64L << 20;
    private const int MaxExtraBytes = 1024;
    private const long MaxL1Bytes = 32L << 20;
    private const int Version3ExtraBytes = 16;

    /// <summary>Reads the table.</summary>
    /// <returns>The place and length of each sound L1 table.</returns>
    /// <exception cref="BlockException">The table makes no sense, or cannot be read.</exception>
    public static async ValueTask<IReadOnlyList<(long Offset, long Length)>> ReadAsync(TableReader reader, ImageScan scan)
    {
        var header = scan.Header;
        if (header.SnapshotCount == 0)
        {
            return [];
        }

        var start = header.SnapshotsOffset;
        if (header.SnapshotCount > MaxSnapshots || start <= 0 || (start & (header.ClusterSize - 1)) != 0)
        {
            throw new BlockException(ErrorCode.Corrupt, "The header's place and number of snapshots cannot be right.");
        }

        List<(long Offset, long Length)> tables = [];
        var at = start;
        var bytes = new byte[FixedBytes];
        for (var i = 0u; i < header.SnapshotCount; i++)
        {
            at = (at + 7) & ~7;
            await reader.ReadAsync(at, bytes).ConfigureAwait(false);
            var extra = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(36));
            if (extra > MaxExtraBytes)
            {
                throw new BlockException(ErrorCode.Corrupt, $"Snapshot table entry {i} claims {extra} extra bytes.");
            }

            if (header.Version >= 3 && extra < Version3ExtraBytes)
            {
                scan.Findings.Corruption(1, $"snapshot table entry {i} is incomplete");
            }

            AddTable(scan, tables, i, bytes);
            at += FixedBytes + extra + BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(12))
                + BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(14));
            if (at - start > MaxTableBytes)
            {
                throw new BlockException(ErrorCode.Corrupt, "The snapshot table is too large.");
            }
        }

        scan.Reference(MetadataKind.SnapshotTable, start, at - start, "the snapshot table");
        return tables;
    }

    private static void AddTable(ImageScan scan, List<(long Offset, long Length)> tables, uint index, byte[] entry)
    {
        var offset = BinaryPrimitives.ReadInt64BigEndian(entry);
        var length = (long)BinaryPrimitives.ReadUInt32BigEndian(entry.AsSpan(8)) * 8;
        if (offset < 0 || (offset & (scan.Header.ClusterSize - 1)) != 0)
        {
            scan.Findings.Corruption(1, $"the L1 table of snapshot table entry {index} begins at no cluster's beginning");
        }
        else if (length > MaxL1Bytes)
        {
            scan.Findings.Corruption(1, $"the L1 table of snapshot table entry {index} is too large");
        }
        else
        {
            tables.Add((offset, length));
        }
    }
}
