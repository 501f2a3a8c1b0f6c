using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>The head of a reply or of a chunk of one (sections "Simple reply message" to "Extended reply chunk message").</summary>
/// <param name="Style">Its form.</param>
/// <param name="Flags">Of a chunk; a simple reply counts as <see cref="NbdReplyFlags.Done"/>.</param>
/// <param name="Type">Of a chunk.</param>
/// <param name="Cookie">That of the request.</param>
/// <param name="Offset">That of the request; extended chunks only, otherwise 0.</param>
/// <param name="Length">Bytes of payload that follow; 0 for a simple reply, whose payload the request tells.</param>
/// <param name="Error">Of a simple reply.</param>
public readonly record struct NbdReplyHeader(
    NbdHeaderStyle Style, NbdReplyFlags Flags, NbdReplyType Type, ulong Cookie, ulong Offset, ulong Length, NbdError Error)
{
    /// <summary>Bytes of a simple reply.</summary>
    public const int SimpleSize = 16;

    /// <summary>Bytes of the head of a structured chunk.</summary>
    public const int StructuredSize = 20;

    /// <summary>Bytes of the head of an extended chunk.</summary>
    public const int ExtendedSize = 32;

    /// <summary>A simple reply.</summary>
    public static NbdReplyHeader Simple(ulong cookie, NbdError error) =>
        new(NbdHeaderStyle.Simple, NbdReplyFlags.Done, NbdReplyType.None, cookie, 0, 0, error);

    /// <summary>The head of a chunk.</summary>
    /// <param name="style">Structured or extended.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="type">What it holds.</param>
    /// <param name="request">The request it answers.</param>
    /// <param name="length">Bytes of its payload.</param>
    public static NbdReplyHeader Chunk(NbdHeaderStyle style, NbdReplyFlags flags, NbdReplyType type, in NbdRequestHeader request, ulong length) =>
        new(style, flags, type, request.Cookie, style == NbdHeaderStyle.Extended ? request.Offset : 0, length, NbdError.None);

    /// <summary>Bytes of a head of a style.</summary>
    public static int SizeOf(NbdHeaderStyle style) => style switch
    {
        NbdHeaderStyle.Simple => SimpleSize,
        NbdHeaderStyle.Structured => StructuredSize,
        _ => ExtendedSize,
    };

    /// <summary>The last chunk of the reply.</summary>
    public bool IsDone => (Flags & NbdReplyFlags.Done) != 0;

    /// <summary>The chunk says that something failed.</summary>
    public bool IsError => ((ushort)Type & 0x8000) != 0;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="SizeOf"/> bytes.</param>
    /// <returns>How many bytes were written.</returns>
    /// <exception cref="OverflowException">The length does not fit in a structured chunk.</exception>
    public int Write(Span<byte> target)
    {
        if (Style == NbdHeaderStyle.Simple)
        {
            BinaryPrimitives.WriteUInt32BigEndian(target, NbdMagic.SimpleReply);
            BinaryPrimitives.WriteUInt32BigEndian(target[4..], (uint)Error);
            BinaryPrimitives.WriteUInt64BigEndian(target[8..], Cookie);
            return SimpleSize;
        }

        BinaryPrimitives.WriteUInt32BigEndian(target, Style == NbdHeaderStyle.Extended ? NbdMagic.ExtendedReply : NbdMagic.StructuredReply);
        BinaryPrimitives.WriteUInt16BigEndian(target[4..], (ushort)Flags);
        BinaryPrimitives.WriteUInt16BigEndian(target[6..], (ushort)Type);
        BinaryPrimitives.WriteUInt64BigEndian(target[8..], Cookie);
        if (Style == NbdHeaderStyle.Structured)
        {
            BinaryPrimitives.WriteUInt32BigEndian(target[16..], checked((uint)Length));
            return StructuredSize;
        }

        BinaryPrimitives.WriteUInt64BigEndian(target[16..], Offset);
        BinaryPrimitives.WriteUInt64BigEndian(target[24..], Length);
        return ExtendedSize;
    }

    /// <summary>The style that the first four bytes of a reply tell.</summary>
    /// <returns>Null where no reply begins so.</returns>
    public static NbdHeaderStyle? StyleOf(uint magic) => magic switch
    {
        NbdMagic.SimpleReply => NbdHeaderStyle.Simple,
        NbdMagic.StructuredReply => NbdHeaderStyle.Structured,
        NbdMagic.ExtendedReply => NbdHeaderStyle.Extended,
        _ => null,
    };

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="SizeOf"/> bytes of the style that the first four bytes tell.</param>
    /// <param name="header">What was read.</param>
    /// <returns>False where no reply begins so.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdReplyHeader header)
    {
        header = default;
        if (StyleOf(BinaryPrimitives.ReadUInt32BigEndian(source)) is not { } style)
        {
            return false;
        }

        var cookie = BinaryPrimitives.ReadUInt64BigEndian(source[8..]);
        if (style == NbdHeaderStyle.Simple)
        {
            header = Simple(cookie, (NbdError)BinaryPrimitives.ReadUInt32BigEndian(source[4..]));
            return true;
        }

        var isExtended = style == NbdHeaderStyle.Extended;
        header = new NbdReplyHeader(
            style,
            (NbdReplyFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdReplyType)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            cookie,
            isExtended ? BinaryPrimitives.ReadUInt64BigEndian(source[16..]) : 0,
            isExtended ? BinaryPrimitives.ReadUInt64BigEndian(source[24..]) : BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
            NbdError.None);
        return true;
    }
}
