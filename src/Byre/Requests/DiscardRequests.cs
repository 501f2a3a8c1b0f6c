using Byre.Nodes;

namespace Byre.Requests;

/// <summary>
/// Discards what a node can discard of any range: the whole units inside it, split to the longest discard. The caller has
/// entered the node's tracker.
/// </summary>
internal static class DiscardRequests
{
    /// <summary>Discards; a range without a whole unit is left alone.</summary>
    public static async ValueTask DiscardAsync(BlockNode node, long offset, long length)
    {
        var limits = node.Limits;
        var unit = Math.Max(limits.DiscardAlignment, limits.RequestAlignment);
        var max = Math.Max(unit, Alignment.Down(limits.MaxDiscard, unit));
        var start = Alignment.Up(offset, unit);
        var end = offset + length == node.Length ? offset + length : Alignment.Down(offset + length, unit);
        if (start >= end)
        {
            node.Bitmaps?.Record(offset, length);
            return;
        }

        try
        {
            for (var at = start; at < end;)
            {
                var n = Math.Min(max, end - at);
                await node.DiscardAsync(at, n).ConfigureAwait(false);
                at += n;
            }
        }
        finally
        {
            node.MarkChanged(offset, length);
        }
    }
}
