namespace Byre.Jobs;

/// <summary>Says that everything is data, whatever the sources say.</summary>
internal sealed class WholeWalker(CopySources sources) : ISegmentWalker
{
    private bool isOver = sources.Length == 0;

    /// <inheritdoc/>
    public ValueTask<CopySegment?> NextAsync()
    {
        if (isOver)
        {
            return new((CopySegment?)null);
        }

        isOver = true;
        return new(new CopySegment(0, sources.Length, SegmentKind.Data));
    }
}
