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
/// <remarks>A list fills its places field by field: copied as a whole they cost several times as much.</remarks>
public record struct BlockExtent(
    long Start, long Length, ExtentState State, ExtentFlags Flags, long HostOffset, BlockNode? HostNode, int Depth, int Behind = 0)
{
    private long start = Start;
    private long length = Length;
    private ExtentState state = State;
    private ExtentFlags flags = Flags;
    private long hostOffset = HostOffset;
    private BlockNode? hostNode = HostNode;
    private int depth = Depth;
    private int behind = Behind;

    /// <summary>First byte, as an offset in the node that was asked.</summary>
    public long Start
    {
        readonly get => start;
        init => start = value;
    }

    /// <summary>Length in bytes, at least 1.</summary>
    public long Length
    {
        readonly get => length;
        init => length = value;
    }

    /// <summary>What the layer at <see cref="Depth"/> says.</summary>
    public ExtentState State
    {
        readonly get => state;
        init => state = value;
    }

    /// <summary>More about it.</summary>
    public ExtentFlags Flags
    {
        readonly get => flags;
        init => flags = value;
    }

    /// <summary>Where the range begins in <see cref="HostNode"/>, or -1.</summary>
    public long HostOffset
    {
        readonly get => hostOffset;
        init => hostOffset = value;
    }

    /// <summary>The node that stores the bytes (the child through which the layer keeps them), or null.</summary>
    public BlockNode? HostNode
    {
        readonly get => hostNode;
        init => hostNode = value;
    }

    /// <summary>1 for the layer that was asked, 2 for its backing, ...; 0 for absent in the whole chain.</summary>
    public int Depth
    {
        readonly get => depth;
        init => depth = value;
    }

    /// <summary>How many layers further down, behind a server, the one that decides lies.</summary>
    public int Behind
    {
        readonly get => behind;
        init => behind = value;
    }

    /// <summary>The first byte after it.</summary>
    public readonly long End => Start + Length;

    /// <summary>Reads as zeroes: the layer says zero, or nobody in the chain says anything.</summary>
    public readonly bool ReadsAsZero => State == ExtentState.Zero || (State == ExtentState.Absent && Depth == 0);

    /// <summary>No space is occupied on the host.</summary>
    public readonly bool IsHole => (Flags & ExtentFlags.Hole) != 0;

    /// <summary>This extent continues <paramref name="before"/>: the same answer, and the next host bytes.</summary>
    public readonly bool Continues(in BlockExtent before) =>
        Start == before.End && State == before.State && Flags == before.Flags && Depth == before.Depth && Behind == before.Behind
        && ReferenceEquals(HostNode, before.HostNode)
        && (HostOffset < 0 ? before.HostOffset < 0 : before.HostOffset >= 0 && before.HostOffset + before.Length == HostOffset);

    /// <summary>The part from <paramref name="start"/> to <paramref name="end"/>, which must lie inside.</summary>
    public readonly BlockExtent Slice(long start, long end) => this with
    {
        Start = start,
        Length = end - start,
        HostOffset = HostOffset < 0 ? -1 : HostOffset + (start - Start),
    };

    /// <summary>Becomes another's first bytes, field by field.</summary>
    /// <param name="other">The other.</param>
    /// <param name="bytes">How many of its bytes.</param>
    internal void Become(in BlockExtent other, long bytes)
    {
        start = other.start;
        length = bytes;
        state = other.state;
        flags = other.flags;
        hostOffset = other.hostOffset;
        depth = other.depth;
        behind = other.behind;
        if (!ReferenceEquals(hostNode, other.hostNode))
        {
            hostNode = other.hostNode;
        }
    }

    /// <summary>Becomes longer.</summary>
    internal void Grow(long bytes) => length += bytes;

    /// <summary>Is absent in the whole chain, if it is absent.</summary>
    internal void DecideAbsent()
    {
        if (state == ExtentState.Absent)
        {
            depth = 0;
        }
    }
}
