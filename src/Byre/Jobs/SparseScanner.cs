namespace Byre.Jobs;

/// <summary>Finds the zeroes in data.</summary>
internal static class SparseScanner
{
    /// <summary>
    /// The end of the run of blocks that begins at <paramref name="start"/>: all of them zero, or all of them not. Blocks lie
    /// at multiples of <paramref name="grain"/> of the disk; the first and the last may be cut short by the buffer.
    /// </summary>
    /// <param name="data">The buffer.</param>
    /// <param name="start">Where in it the run begins.</param>
    /// <param name="offset">The disk's offset of the buffer's first byte.</param>
    /// <param name="grain">Bytes of a block, at least 1.</param>
    /// <param name="isZero">What the run is.</param>
    public static int FindRunEnd(ReadOnlySpan<byte> data, int start, long offset, long grain, out bool isZero)
    {
        var end = BlockEnd(data.Length, start, offset, grain);
        isZero = IsZero(data[start..end]);
        while (end < data.Length)
        {
            var next = BlockEnd(data.Length, end, offset, grain);
            if (IsZero(data[end..next]) != isZero)
            {
                break;
            }

            end = next;
        }

        return end;
    }

    /// <summary>Every byte is zero. Vectorised; looks no farther than the first that is not.</summary>
    public static bool IsZero(ReadOnlySpan<byte> data) => !data.ContainsAnyExcept((byte)0);

    private static int BlockEnd(int length, int at, long offset, long grain)
    {
        var left = grain - ((offset + at) % grain);
        return left >= length - at ? length : at + (int)left;
    }
}
