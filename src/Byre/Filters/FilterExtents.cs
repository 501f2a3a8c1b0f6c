using Byre.Nodes;

namespace Byre.Filters;

/// <summary>Extents of a filter that must see every request.</summary>
internal static class FilterExtents
{
    /// <summary>
    /// The child's answer, with the filter itself named as what stores the bytes: a caller that copies by extents must not
    /// go around the filter.
    /// </summary>
    public static async ValueTask GetAsync(BlockNode filter, BlockEdge child, ExtentList extents, ExtentPrecision precision)
    {
        var below = new ExtentList();
        below.Reset(extents.Offset, extents.Length, extents.Limit);
        await child.GetExtentsAsync(below, precision).ConfigureAwait(false);
        foreach (var e in below.Items)
        {
            // A file's holes are where they are in the filter, too.
            var isPlain = e.State == ExtentState.Zero && ReferenceEquals(e.HostNode, child.Node) && e.HostOffset == e.Start;
            extents.Add(e.State == ExtentState.Data || isPlain ? e with { HostOffset = e.Start, HostNode = filter } : e with { HostOffset = -1, HostNode = null });
            if (extents.IsFull)
            {
                break;
            }
        }
    }
}
