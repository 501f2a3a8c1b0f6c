using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>An option without its data (section "Newstyle negotiation").</summary>
/// <param name="Option">What is asked for; may be a number that is not known.</param>
/// <param name="Length">Bytes of data that follow.</param>
public readonly record struct NbdOptionHeader(NbdOption Option, uint Length)
{
    /// <summary>Bytes of it.</summary>
    public const int Size = 16;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt64BigEndian(target, NbdMagic.Option);
        BinaryPrimitives.WriteUInt32BigEndian(target[8..], (uint)Option);
        BinaryPrimitives.WriteUInt32BigEndian(target[12..], Length);
    }

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>False where no option begins so.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionHeader header)
    {
        header = new NbdOptionHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]), BinaryPrimitives.ReadUInt32BigEndian(source[12..]));
        return BinaryPrimitives.ReadUInt64BigEndian(source) == NbdMagic.Option;
    }
}
