using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Says whether the layers below an image read as zeroes somewhere.</summary>
internal static class BackingZeroes
{
    // A range in more pieces than this counts as data: the answer has to come quickly.
    private const int MostPieces = 64;

    /// <summary>
    /// All of a range reads as zeroes, by what the mapping of a layer and of those below it says; no data are read. What is
    /// not known to be zero is not.
    /// </summary>
    /// <param name="layer">The edge to the uppermost of them.</param>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it; what lies behind a layer's end is zero.</param>
    /// <exception cref="BlockException">A mapping could not be read.</exception>
    public static async ValueTask<bool> AreThereAsync(BlockEdge layer, long start, long end)
    {
        end = Math.Min(end, layer.Length);
        if (start >= end)
        {
            return true;
        }

        var extents = new ExtentList();
        extents.Reset(start, end - start, MostPieces);
        await layer.GetExtentsAsync(extents, ExtentPrecision.Exact).ConfigureAwait(false);
        for (var i = 0; i < extents.Count; i++)
        {
            var extent = extents.Items[i];
            if (extent.State != ExtentState.Zero && !(extent.State == ExtentState.Absent && await IsBelowAsync(extent).ConfigureAwait(false)))
            {
                return false;
            }
        }

        return extents.IsComplete;

        // A filter's answer is that of a node below it, whose backing layer is not looked for.
        async ValueTask<bool> IsBelowAsync(BlockExtent absent) => layer.Node is IBackedNode node
            && (node.Backing is null || await AreThereAsync(node.Backing, absent.Start, absent.End).ConfigureAwait(false));
    }
}
