using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>A request without its payload (section "Request message"), compact or extended.</summary>
/// <param name="Flags">How it is to be done.</param>
/// <param name="Command">What is asked for; may be a number that is not known.</param>
/// <param name="Cookie">Chosen by the client; the reply has the same.</param>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes that the request is about; with <see cref="NbdCommandFlags.PayloadLength"/> bytes that follow it.</param>
public readonly record struct NbdRequestHeader(NbdCommandFlags Flags, NbdCommand Command, ulong Cookie, ulong Offset, ulong Length)
{
    /// <summary>Bytes of a compact request.</summary>
    public const int CompactSize = 28;

    /// <summary>Bytes of an extended request.</summary>
    public const int ExtendedSize = 32;

    /// <summary>Bytes of a request of a style.</summary>
    public static int SizeOf(NbdHeaderStyle style) => style == NbdHeaderStyle.Extended ? ExtendedSize : CompactSize;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="SizeOf"/> bytes.</param>
    /// <param name="style">Its form.</param>
    /// <returns>How many bytes were written.</returns>
    /// <exception cref="OverflowException">The length does not fit in a compact request.</exception>
    public int Write(Span<byte> target, NbdHeaderStyle style)
    {
        var isExtended = style == NbdHeaderStyle.Extended;
        BinaryPrimitives.WriteUInt32BigEndian(target, isExtended ? NbdMagic.ExtendedRequest : NbdMagic.Request);
        BinaryPrimitives.WriteUInt16BigEndian(target[4..], (ushort)Flags);
        BinaryPrimitives.WriteUInt16BigEndian(target[6..], (ushort)Command);
        BinaryPrimitives.WriteUInt64BigEndian(target[8..], Cookie);
        BinaryPrimitives.WriteUInt64BigEndian(target[16..], Offset);
        if (isExtended)
        {
            BinaryPrimitives.WriteUInt64BigEndian(target[24..], Length);
            return ExtendedSize;
        }

        BinaryPrimitives.WriteUInt32BigEndian(target[24..], checked((uint)Length));
        return CompactSize;
    }

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="SizeOf"/> bytes.</param>
    /// <param name="style">Its form.</param>
    /// <param name="header">What was read.</param>
    /// <returns>False where it does not begin as a request of that style.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, NbdHeaderStyle style, out NbdRequestHeader header)
    {
        var isExtended = style == NbdHeaderStyle.Extended;
        header = new NbdRequestHeader(
            (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            isExtended ? BinaryPrimitives.ReadUInt64BigEndian(source[24..]) : BinaryPrimitives.ReadUInt32BigEndian(source[24..]));
        return BinaryPrimitives.ReadUInt32BigEndian(source) == (isExtended ? NbdMagic.ExtendedRequest : NbdMagic.Request);
    }
}
