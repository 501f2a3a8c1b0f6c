namespace Byre.Jobs;

/// <summary>
/// Widens segments to whole units (clusters of a compressed target): a unit is data where any part of it is, or where
/// parts of it want different things. The last unit may be short.
/// </summary>
internal sealed class UnitWalker(ISegmentWalker inner, int unit) : ISegmentWalker
{
    private CopySegment rest; // what inner gave and is not used up yet
    private bool isOver;

    /// <inheritdoc/>
    public async ValueTask<CopySegment?> NextAsync()
    {
        if (!await FillAsync().ConfigureAwait(false))
        {
            return null;
        }

        var start = rest.Start;
        var whole = rest.Length / unit * unit;
        if (whole > 0)
        {
            return Take(start, whole);
        }

        // A unit of several segments, or a short one at the very end.
        var kind = rest.Kind;
        var end = start + unit;
        var at = start;
        while (at < end && await FillAsync().ConfigureAwait(false))
        {
            kind = rest.Kind == kind ? kind : SegmentKind.Data;
            at = Math.Min(rest.End, end);
            rest = rest.Slice(at, rest.End);
        }

        return new CopySegment(start, at - start, kind);
    }

    private CopySegment Take(long start, long length)
    {
        var kind = rest.Kind;
        rest = rest.Slice(start + length, rest.End);
        return new CopySegment(start, length, kind);
    }

    private async ValueTask<bool> FillAsync()
    {
        if (rest.Length == 0 && !isOver)
        {
            var next = await inner.NextAsync().ConfigureAwait(false);
            isOver = next is null;
            rest = next ?? default;
        }

        return rest.Length > 0;
    }
}
