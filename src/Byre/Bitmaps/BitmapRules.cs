using System.Numerics;
using System.Text;
using Byre.Nodes;

namespace Byre.Bitmaps;

/// <summary>What a bitmap's name, granularity and length can be.</summary>
internal static class BitmapRules
{
    /// <summary>Throws unless a name can be a bitmap's.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>.</exception>
    public static void CheckName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length == 0)
        {
            throw new BlockException(ErrorCode.Invalid, "A bitmap's name cannot be empty");
        }

        if (Encoding.UTF8.GetByteCount(name) > DirtyBitmap.MaxNameBytes)
        {
            throw new BlockException(ErrorCode.Invalid, $"A bitmap's name has at most {DirtyBitmap.MaxNameBytes} bytes");
        }
    }

    /// <summary>Throws unless a number of bytes can be a bitmap's granularity.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>.</exception>
    public static void CheckGranularity(long granularity)
    {
        if (granularity is < DirtyBitmap.MinGranularity or > DirtyBitmap.MaxGranularity || !BitOperations.IsPow2(granularity))
        {
            throw new BlockException(
                ErrorCode.Invalid,
                $"A bitmap's granularity is a power of two from {DirtyBitmap.MinGranularity} to {DirtyBitmap.MaxGranularity}, not {granularity}");
        }
    }

    /// <summary>Throws unless a bitmap can have so many bits.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="count">How many.</param>
    /// <param name="bytes">The disk's length, which takes them.</param>
    /// <returns>The bits.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.TooLarge"/>.</exception>
    public static long CheckedBits(string name, long count, long bytes) => count <= HierarchicalBitmap.MaxLength
        ? count
        : throw new BlockException(ErrorCode.TooLarge, $"The bitmap '{name}' would need {count} bits for {bytes} bytes: a greater granularity needs fewer");
}
