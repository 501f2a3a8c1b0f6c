namespace Byre.Jobs;

/// <summary>Segments from front to back, without a gap.</summary>
internal interface ISegmentWalker
{
    /// <summary>The next one; null at the end.</summary>
    ValueTask<CopySegment?> NextAsync();
}
