using System.Buffers;

namespace Byre.Bitmaps;

/// <summary>Merges bitmaps of one granularity by words; neither is locked for longer than one stretch takes.</summary>
internal static class BitmapMerge
{
    private const int StretchBytes = BitmapLeaf.Bits / 8;

    /// <summary>What is set in the source becomes set in the target.</summary>
    public static void Words(DirtyBitmap target, DirtyBitmap source)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(StretchBytes);
        try
        {
            var at = 0L;
            while (true)
            {
                var count = 0L;
                source.Access(bits => Take(bits, ref at, out count, buffer.AsSpan(0, StretchBytes)));
                if (count == 0)
                {
                    return;
                }

                target.Access(bits => Put(bits, ref at, count, buffer.AsSpan(0, StretchBytes)));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Takes the next run, where it is a long one; else all of the stretch that it begins in.</summary>
    /// <param name="bits">The source.</param>
    /// <param name="at">Where to look; becomes where what was taken begins.</param>
    /// <param name="count">The run's bits; -1 for a stretch; 0 where nothing is left.</param>
    /// <param name="buffer">Takes a stretch.</param>
    private static void Take(HierarchicalBitmap bits, ref long at, out long count, Span<byte> buffer)
    {
        if (bits.TryNextArea(at, long.MaxValue, out at, out count) && count < BitmapLeaf.Bits)
        {
            at &= -BitmapLeaf.Bits;
            count = -1;
            bits.CopyTo(at, buffer);
        }
    }

    private static void Put(HierarchicalBitmap bits, ref long at, long count, ReadOnlySpan<byte> buffer)
    {
        if (count > 0)
        {
            bits.Set(Math.Min(at, bits.Length), Math.Clamp(bits.Length - at, 0, count));
            at += count;
        }
        else
        {
            bits.MergeFrom(at, buffer);
            at += BitmapLeaf.Bits;
        }
    }
}
