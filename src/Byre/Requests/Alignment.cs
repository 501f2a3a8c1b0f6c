using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Requests;

/// <summary>Arithmetic on a node's limits.</summary>
internal static class Alignment
{
    /// <summary>The node takes the request as it is: in whole blocks, not too long, in a buffer it can use.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Accepts(BlockLimits limits, long offset, ReadOnlyMemory<byte> buffer) =>
        ((offset | (long)(uint)buffer.Length) & (limits.RequestAlignment - 1L)) == 0
        && buffer.Length <= limits.MaxTransfer
        && (limits.MemoryAlignment <= 1 || IsAligned(buffer, limits.MemoryAlignment));

    /// <summary>
    /// A write must exclude others from its blocks: it changes a block in part, or moves an end of the node that lies within
    /// a block.
    /// </summary>
    public static bool NeedsLease(BlockNode node, long offset, long length)
    {
        var mask = node.Limits.RequestAlignment - 1L;
        if (mask == 0)
        {
            return false;
        }

        var nodeLength = node.Length;
        var end = offset + length;
        return (offset & mask) != 0
            || ((end & mask) != 0 && end != nodeLength)
            || ((nodeLength & mask) != 0 && end > nodeLength);
    }

    /// <summary>Rounds down to a multiple.</summary>
    public static long Down(long value, long multiple) => value - (value % multiple);

    /// <summary>Rounds up to a multiple; what does not fit becomes the greatest number.</summary>
    public static long Up(long value, long multiple)
    {
        var rest = value % multiple;
        return rest == 0 ? value : value > long.MaxValue - (multiple - rest) ? long.MaxValue : value + (multiple - rest);
    }

    /// <summary>The longest transfer, in whole blocks, at least one.</summary>
    public static int MaxTransfer(BlockLimits limits) =>
        Math.Max(limits.RequestAlignment, limits.MaxTransfer & ~(limits.RequestAlignment - 1));

    /// <summary>The buffer's address is a multiple, and stays so: memory that the collector may move never counts.</summary>
    public static bool IsAligned(ReadOnlyMemory<byte> buffer, int multiple)
    {
        if (multiple <= 1 || buffer.IsEmpty)
        {
            return true;
        }

        return !MemoryMarshal.TryGetArray(buffer, out _) && AddressOf(buffer.Span) % (nuint)multiple == 0;
    }

    private static unsafe nuint AddressOf(ReadOnlySpan<byte> span) =>
        (nuint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(span));
}
