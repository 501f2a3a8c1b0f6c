using System.Buffers.Binary;
using System.Numerics;

namespace Byre.Nbd.Protocol;

/// <summary>Sizes of requests that an export wants: the content of NBD_INFO_BLOCK_SIZE after its type (section "Size constraints").</summary>
/// <param name="Minimum">Offsets and lengths are multiples of it, in bytes; a power of two up to 64 KiB.</param>
/// <param name="Preferred">What works best, in bytes; a power of two of at least 512 and at least the minimum.</param>
/// <param name="MaximumPayload">The longest payload of a request or reply, in bytes; a multiple of the minimum, or 2^32 - 1 for no limit.</param>
public readonly record struct NbdBlockSize(uint Minimum, uint Preferred, uint MaximumPayload)
{
    /// <summary>Bytes of it.</summary>
    public const int Size = 12;

    /// <summary>What holds where nothing is said.</summary>
    public static NbdBlockSize Default => new(1, 4096, NbdLimits.DefaultMaxPayload);

    /// <summary>It keeps the rules of the specification.</summary>
    public bool IsValid =>
        BitOperations.IsPow2(Minimum) && Minimum <= 64 << 10
        && BitOperations.IsPow2(Preferred) && Preferred >= Math.Max(Minimum, 512) && Preferred <= NbdLimits.MaxBlockSize
        && MaximumPayload >= Minimum && (MaximumPayload == uint.MaxValue || MaximumPayload % Minimum == 0);

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt32BigEndian(target, Minimum);
        BinaryPrimitives.WriteUInt32BigEndian(target[4..], Preferred);
        BinaryPrimitives.WriteUInt32BigEndian(target[8..], MaximumPayload);
    }

    /// <summary>Reads one; see <see cref="IsValid"/>.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    public static NbdBlockSize Read(ReadOnlySpan<byte> source) => new(
        BinaryPrimitives.ReadUInt32BigEndian(source),
        BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
        BinaryPrimitives.ReadUInt32BigEndian(source[8..]));
}
