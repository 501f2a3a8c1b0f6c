using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>One extent of a reply to BLOCK_STATUS, with 32 or 64 bits a field (NBD_REPLY_TYPE_BLOCK_STATUS and _EXT).</summary>
/// <param name="Length">Bytes, at least 1.</param>
/// <param name="Flags">What the metadata context says of them.</param>
public readonly record struct NbdStatusDescriptor(ulong Length, ulong Flags)
{
    /// <summary>Bytes of one of 32 bits a field.</summary>
    public const int CompactSize = 8;

    /// <summary>Bytes of one of 64 bits a field.</summary>
    public const int ExtendedSize = 16;

    /// <summary>Bytes of one in a style's replies.</summary>
    public static int SizeOf(NbdHeaderStyle style) => style == NbdHeaderStyle.Extended ? ExtendedSize : CompactSize;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="SizeOf"/> bytes.</param>
    /// <param name="style">Extended for 64 bits a field.</param>
    /// <exception cref="OverflowException">A field does not fit in 32 bits.</exception>
    public void Write(Span<byte> target, NbdHeaderStyle style)
    {
        if (style == NbdHeaderStyle.Extended)
        {
            BinaryPrimitives.WriteUInt64BigEndian(target, Length);
            BinaryPrimitives.WriteUInt64BigEndian(target[8..], Flags);
            return;
        }

        BinaryPrimitives.WriteUInt32BigEndian(target, checked((uint)Length));
        BinaryPrimitives.WriteUInt32BigEndian(target[4..], checked((uint)Flags));
    }

    /// <summary>Writes several, one behind the other.</summary>
    /// <param name="items">What to write.</param>
    /// <param name="target">At least <see cref="SizeOf"/> bytes for each.</param>
    /// <param name="style">Extended for 64 bits a field.</param>
    /// <exception cref="OverflowException">A field does not fit in 32 bits.</exception>
    public static void WriteAll(ReadOnlySpan<NbdStatusDescriptor> items, Span<byte> target, NbdHeaderStyle style)
    {
        if (style == NbdHeaderStyle.Extended)
        {
            for (var i = 0; i < items.Length; i++)
            {
                items[i].Write(target[(i * ExtendedSize)..], NbdHeaderStyle.Extended);
            }

            return;
        }

        for (var i = 0; i < items.Length; i++)
        {
            items[i].Write(target[(i * CompactSize)..], NbdHeaderStyle.Structured);
        }
    }

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="SizeOf"/> bytes.</param>
    /// <param name="style">Extended for 64 bits a field.</param>
    public static NbdStatusDescriptor Read(ReadOnlySpan<byte> source, NbdHeaderStyle style) => style == NbdHeaderStyle.Extended
        ? new(BinaryPrimitives.ReadUInt64BigEndian(source), BinaryPrimitives.ReadUInt64BigEndian(source[8..]))
        : new(BinaryPrimitives.ReadUInt32BigEndian(source), BinaryPrimitives.ReadUInt32BigEndian(source[4..]));
}
