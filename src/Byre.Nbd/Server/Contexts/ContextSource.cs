using Byre.Bitmaps;
using Byre.Nodes;

namespace Byre.Nbd.Server.Contexts;

/// <summary>What the metadata contexts of an export tell about.</summary>
/// <param name="Edge">The edge through which the export's node is asked; its owner keeps it.</param>
/// <param name="Bitmaps">The exported bitmaps, in the catalog's order. Their offsets are the node's.</param>
/// <param name="Offset">Where the export begins in the node, in bytes.</param>
/// <param name="FixedLength">The export's length in bytes, or null: up to the node's end, wherever that is.</param>
internal sealed record ContextSource(BlockEdge Edge, IReadOnlyList<DirtyBitmap> Bitmaps, long Offset = 0, long? FixedLength = null)
{
    /// <summary>Where the export ends in the node now.</summary>
    public long End => FixedLength is { } length ? Offset + length : Math.Max(Offset, Edge.Length);
}
