using System.Buffers.Binary;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Finds out which part of the disk the findings in L2 tables concern.</summary>
internal static class GuestPlaces
{
    /// <summary>Adds the guest offset to findings in L2 tables that the active L1 table leads to.</summary>
    /// <exception cref="BlockException">The L1 table cannot be read.</exception>
    public static async ValueTask FindAsync(ImageScan scan)
    {
        var clusterMask = ~(scan.Header.ClusterSize - 1L);
        var tables = new Dictionary<long, long>(); // where an L2 table is, and the first L1 entry that leads to it
        foreach (var finding in scan.Findings.Kept)
        {
            if (finding is { Table: CheckTable.L2, Offset: { } offset })
            {
                tables.TryAdd(offset & clusterMask, -1);
            }
        }

        if (tables.Count == 0)
        {
            return;
        }

        var buffer = new byte[64 << 10];
        var end = scan.Header.L1Offset + (scan.Header.L1Entries * 8L);
        for (var at = scan.Header.L1Offset; at < Math.Min(end, scan.FileLength); at += buffer.Length)
        {
            var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, end - at));
            await scan.Reader.ReadAsync(at, piece).ConfigureAwait(false);
            for (var i = 0; i < piece.Length; i += 8)
            {
                var table = new Layout.L1Entry(BinaryPrimitives.ReadUInt64BigEndian(piece.Span[i..])).Table.Value;
                if (tables.TryGetValue(table, out var index) && index < 0)
                {
                    tables[table] = (at + i - scan.Header.L1Offset) / 8;
                }
            }
        }

        scan.Findings.Complete(finding => finding is { Table: CheckTable.L2, Offset: { } offset, Index: { } entry }
            && tables.TryGetValue(offset & clusterMask, out var index) && index >= 0
                ? finding with { GuestOffset = (index << scan.Geometry.L1Shift) + (entry << scan.Header.ClusterBits) }
                : finding);
    }
}
