using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>
/// A small sound image in memory, laid out by hand: clusters of 4 KiB; 0 header, 1 refcount table, 2 refcount block, 3 L1
/// table, 4 L2 table, 5 to 12 data.
/// </summary>
internal sealed class CheckImage
{
    public const int ClusterSize = 4096;
    public const int Clusters = 13;
    public const int Block = 2 * ClusterSize;
    public const int L1 = 3 * ClusterSize;
    public const int L2 = 4 * ClusterSize;
    public const ulong Copied = 1ul << 63;

    public CheckImage(IncompatibleFeatures incompatible = IncompatibleFeatures.None)
    {
        var header = new Qcow2Header
        {
            Version = 3, ClusterBits = 12, Size = 1 << 20, L1Entries = 1, L1Offset = L1, RefcountTableOffset = ClusterSize,
            RefcountTableClusters = 1, Incompatible = incompatible,
        };
        header.ToBytes().CopyTo(Bytes, 0);
        Put(ClusterSize, Block);
        for (var i = 0; i < Clusters; i++)
        {
            SetRefcount(i, 1);
        }

        Put(L1, L2 | Copied);
        for (var i = 0; i < 8; i++)
        {
            Put(L2 + (i * 8), (ulong)(uint)((5 + i) * ClusterSize) | Copied);
        }
    }

    public byte[] Bytes { get; set; } = new byte[Clusters * ClusterSize];

    public void Put(int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(at), value);

    public void SetRefcount(int cluster, ushort value) =>
        BinaryPrimitives.WriteUInt16BigEndian(Bytes.AsSpan(Block + (cluster * 2)), value);

    /// <summary>Checks and perhaps repairs; the bytes are those afterwards.</summary>
    public async Task<CheckReport> CheckAsync(RepairMode repair = RepairMode.None)
    {
        var node = new MemoryNode(Bytes);
        await using var edge = new BlockEdge(node, ChildRole.Metadata | ChildRole.Primary, DefaultPermissions.Writer, "file");
        var header = await Qcow2HeaderReader.ReadAsync(edge, forCheck: true);
        var report = await Qcow2Checker.CheckAsync(edge, header, header.HasDataFile, repair);
        await KeepAsync(edge);
        return report;
    }

    /// <summary>Opens it as an image that was not closed.</summary>
    public async Task RepairDirtyAsync()
    {
        await using var edge = new BlockEdge(
            new MemoryNode(Bytes), ChildRole.Metadata | ChildRole.Primary, DefaultPermissions.Writer, "file");
        await Qcow2Checker.RepairDirtyAsync(edge, await Qcow2HeaderReader.ReadAsync(edge));
        await KeepAsync(edge);
    }

    public ulong Get(int at) => BinaryPrimitives.ReadUInt64BigEndian(Bytes.AsSpan(at));

    private async Task KeepAsync(BlockEdge edge)
    {
        Bytes = new byte[edge.Length];
        await edge.ReadAsync(0, Bytes);
    }
}
