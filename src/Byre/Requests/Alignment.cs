using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Requests;

/// <summary>Arithmetic on a node's limits.</summary>
internal static class Alignment
{
    /// <summary>The node takes the request as it is: aligned, or ending at an unaligned end of the node; not too long.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Accepts(BlockLimits limits, long nodeLength, long offset, int length)
    {
        var mask = limits.RequestAlignment - 1L;
        return length <= limits.MaxTransfer
            && (((offset | (long)(uint)length) & mask) == 0 || ((offset & mask) == 0 && offset + length == nodeLength));
    }

    /// <summary>The node takes the request as it is, and its buffer as well.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Accepts(BlockLimits limits, long nodeLength, long offset, ReadOnlyMemory<byte> buffer) =>
        Accepts(limits, nodeLength, offset, buffer.Length)
        && (limits.MemoryAlignment <= 1 || IsAligned(buffer, limits.MemoryAlignment));

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
