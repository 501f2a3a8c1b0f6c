using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>A range of the concatenated sources.</summary>
/// <param name="Start">First byte, counted through all sources.</param>
/// <param name="Length">Bytes, at least 1.</param>
/// <param name="Kind">What is to be done with it.</param>
/// <param name="HostNode">The node that stores the bytes as they are read, or null.</param>
/// <param name="HostOffset">Where they begin there.</param>
internal readonly record struct CopySegment(long Start, long Length, SegmentKind Kind, BlockNode? HostNode = null, long HostOffset = 0)
{
    /// <summary>The first byte after it.</summary>
    public long End => Start + Length;

    /// <summary>The part from <paramref name="start"/> to <paramref name="end"/>, which lie inside.</summary>
    public CopySegment Slice(long start, long end) => this with
    {
        Start = start,
        Length = end - start,
        HostOffset = HostOffset + (start - Start),
    };
}
