namespace Byre.Nodes;

/// <summary>One answer to "what is here": a range of a node, its state, and where its bytes lie.</summary>
/// <param name="Start">First byte, as an offset in the node that was asked.</param>
/// <param name="Length">Length in bytes, at least 1.</param>
/// <param name="State">What the layer at <paramref name="Depth"/> says.</param>
/// <param name="Flags">More about it.</param>
/// <param name="HostOffset">Where the range begins in <paramref name="HostNode"/>, or -1.</param>
/// <param name="HostNode">The node that stores the bytes (the child through which the layer keeps them), or null.</param>
/// <param name="Depth">1 for the layer that was asked, 2 for its backing, ...; 0 for absent in the whole chain.</param>
/// <param name="Behind">
/// Where the layer is a server's that was asked for it: how many layers further down, behind the server, the one that decides
/// lies; 0 for the server's own, and -1 where none behind it decides.
/// </param>
public readonly record struct BlockExtent(
    long Start, long Length, ExtentState State, ExtentFlags Flags, long HostOffset, BlockNode? HostNode, int Depth, int Behind = 0)
{
    /// <summary>The first byte after it.</summary>
    public long End => Start + Length;

    /// <summary>Reads as zeroes: the layer says zero, or nobody in the chain says anything.</summary>
    public bool ReadsAsZero => State == ExtentState.Zero || (State == ExtentState.Absent && Depth == 0);

    /// <summary>No space is occupied on the host.</summary>
    public bool IsHole => (Flags & ExtentFlags.Hole) != 0;

    /// <summary>This extent continues <paramref name="before"/>: the same answer, and the next host bytes.</summary>
    public bool Continues(in BlockExtent before) =>
        Start == before.End && State == before.State && Flags == before.Flags && Depth == before.Depth && Behind == before.Behind
        && ReferenceEquals(HostNode, before.HostNode)
        && (HostOffset < 0 ? before.HostOffset < 0 : before.HostOffset >= 0 && before.HostOffset + before.Length == HostOffset);

    /// <summary>The part from <paramref name="start"/> to <paramref name="end"/>, which must lie inside.</summary>
    public BlockExtent Slice(long start, long end) => this with
    {
        Start = start,
        Length = end - start,
        HostOffset = HostOffset < 0 ? -1 : HostOffset + (start - Start),
    };
}
