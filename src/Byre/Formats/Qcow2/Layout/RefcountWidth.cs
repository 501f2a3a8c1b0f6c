using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>Refcounts of 1 to 64 bits in a refcount block (qcow2 specification, "Refcount block entry").</summary>
internal static class RefcountWidth
{
    /// <summary>The largest refcount that fits in 1 &lt;&lt; <paramref name="order"/> bits.</summary>
    internal static ulong Max(int order) => order == 6 ? ulong.MaxValue : (1UL << (1 << order)) - 1;

    /// <summary>Reads refcount <paramref name="index"/>. Less than a byte wide, the first is in a byte's lowest bits.</summary>
    internal static ulong Get(ReadOnlySpan<byte> block, int order, int index) => order switch
    {
        4 => BinaryPrimitives.ReadUInt16BigEndian(block[(index * 2)..]),
        3 => block[index],
        5 => BinaryPrimitives.ReadUInt32BigEndian(block[(index * 4)..]),
        6 => BinaryPrimitives.ReadUInt64BigEndian(block[(index * 8)..]),
        _ => (ulong)(block[index >> (3 - order)] >> Shift(order, index)) & Max(order),
    };

    /// <summary>Writes refcount <paramref name="index"/>.</summary>
    /// <param name="block">The refcount block, or a slice of one.</param>
    /// <param name="order">0 to 6.</param>
    /// <param name="index">Which one.</param>
    /// <param name="value">At most <see cref="Max"/>.</param>
    internal static void Set(Span<byte> block, int order, int index, ulong value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Max(order));
        switch (order)
        {
            case 3:
                block[index] = (byte)value;
                break;
            case 4:
                BinaryPrimitives.WriteUInt16BigEndian(block[(index * 2)..], (ushort)value);
                break;
            case 5:
                BinaryPrimitives.WriteUInt32BigEndian(block[(index * 4)..], (uint)value);
                break;
            case 6:
                BinaryPrimitives.WriteUInt64BigEndian(block[(index * 8)..], value);
                break;
            default:
                ref var at = ref block[index >> (3 - order)];
                var shift = Shift(order, index);
                at = (byte)((at & ~((int)Max(order) << shift)) | ((int)value << shift));
                break;
        }
    }

    /// <summary>The first refcount that is 0, from <paramref name="from"/> on; <paramref name="count"/> where there is none.</summary>
    /// <param name="block">The refcount block, or a slice of one.</param>
    /// <param name="order">0 to 6.</param>
    /// <param name="from">Where to begin.</param>
    /// <param name="count">How many refcounts the block has.</param>
    internal static int FindFree(ReadOnlySpan<byte> block, int order, int from, int count)
    {
        if (order == 4)
        {
            var found = MemoryMarshal.Cast<byte, ushort>(block)[from..].IndexOf((ushort)0);
            return found < 0 ? count : from + found;
        }

        while (from < count && Get(block, order, from) != 0)
        {
            from++;
        }

        return from;
    }

    private static int Shift(int order, int index) => (index & ((1 << (3 - order)) - 1)) << order;
}
