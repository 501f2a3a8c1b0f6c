using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server;

/// <summary>The bytes around the content of replies, in each style (sections "Simple reply message" to "Extended reply chunk message").</summary>
internal static class ReplyFrames
{
    /// <summary>The longest head of any reply with content.</summary>
    public const int MaxReadHead = NbdReplyHeader.ExtendedSize + sizeof(ulong);

    /// <summary>The longest error reply, with its text.</summary>
    public const int MaxError = NbdReplyHeader.ExtendedSize + 6 + MaxText;

    /// <summary>Bytes of a chunk for a hole in a style that has chunks.</summary>
    public const int HolePayload = sizeof(ulong) + sizeof(uint);

    private const int MaxText = 120;

    /// <summary>Bytes before the data of a READ.</summary>
    public static int ReadHeadSize(NbdHeaderStyle style) => style switch
    {
        NbdHeaderStyle.Simple => NbdReplyHeader.SimpleSize,
        NbdHeaderStyle.Structured => NbdReplyHeader.StructuredSize + sizeof(ulong),
        _ => MaxReadHead,
    };

    /// <summary>Writes what stands before the data of a READ that is answered with one piece of data.</summary>
    /// <param name="target">At least <see cref="ReadHeadSize"/> bytes.</param>
    /// <param name="style">The style of the connection.</param>
    /// <param name="request">The request.</param>
    public static void WriteReadHead(Span<byte> target, NbdHeaderStyle style, in NbdRequestHeader request)
    {
        if (style == NbdHeaderStyle.Simple)
        {
            NbdReplyHeader.Simple(request.Cookie, NbdError.None).Write(target);
            return;
        }

        WriteDataHead(target, style, request, request.Offset, (int)request.Length, isLast: true);
    }

    /// <summary>Writes the head of one chunk of data; the data follow.</summary>
    /// <param name="target">At least <see cref="ReadHeadSize"/> bytes.</param>
    /// <param name="style">Structured or extended.</param>
    /// <param name="request">The request.</param>
    /// <param name="offset">Where the data lie in the export.</param>
    /// <param name="length">Bytes of data.</param>
    /// <param name="isLast">No chunk follows.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteDataHead(
        Span<byte> target, NbdHeaderStyle style, in NbdRequestHeader request, ulong offset, int length, bool isLast)
    {
        var size = NbdReplyHeader.Chunk(
            style, Done(isLast), NbdReplyType.OffsetData, request, (ulong)length + sizeof(ulong)).Write(target);
        BinaryPrimitives.WriteUInt64BigEndian(target[size..], offset);
        return size + sizeof(ulong);
    }

    /// <summary>Writes one chunk that says that a range reads as zeroes.</summary>
    /// <param name="target">At least a head and <see cref="HolePayload"/> bytes.</param>
    /// <param name="style">Structured or extended.</param>
    /// <param name="request">The request.</param>
    /// <param name="offset">Where the zeroes lie in the export.</param>
    /// <param name="length">Bytes of zeroes.</param>
    /// <param name="isLast">No chunk follows.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteHole(
        Span<byte> target, NbdHeaderStyle style, in NbdRequestHeader request, ulong offset, int length, bool isLast)
    {
        var size = NbdReplyHeader.Chunk(style, Done(isLast), NbdReplyType.OffsetHole, request, HolePayload).Write(target);
        BinaryPrimitives.WriteUInt64BigEndian(target[size..], offset);
        BinaryPrimitives.WriteUInt32BigEndian(target[(size + sizeof(ulong))..], (uint)length);
        return size + HolePayload;
    }

    /// <summary>Writes a reply that says only that all is well.</summary>
    /// <param name="target">At least 32 bytes.</param>
    /// <param name="style">The style of the connection.</param>
    /// <param name="request">The request.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteSuccess(Span<byte> target, NbdHeaderStyle style, in NbdRequestHeader request) =>
        style == NbdHeaderStyle.Simple
            ? NbdReplyHeader.Simple(request.Cookie, NbdError.None).Write(target)
            : NbdReplyHeader.Chunk(style, NbdReplyFlags.Done, NbdReplyType.None, request, 0).Write(target);

    /// <summary>Writes a reply that says that a request failed.</summary>
    /// <param name="target">At least <see cref="MaxError"/> bytes.</param>
    /// <param name="style">The style of the connection.</param>
    /// <param name="request">The request.</param>
    /// <param name="error">Why.</param>
    /// <param name="text">Why, in a short sentence of ASCII; simple replies have no room for it.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteError(Span<byte> target, NbdHeaderStyle style, in NbdRequestHeader request, NbdError error, string text)
    {
        if (style == NbdHeaderStyle.Simple)
        {
            return NbdReplyHeader.Simple(request.Cookie, error).Write(target);
        }

        text = text.Length > MaxText ? text[..MaxText] : text;
        var size = NbdReplyHeader.Chunk(
            style, NbdReplyFlags.Done, NbdReplyType.Error, request, (ulong)(6 + text.Length)).Write(target);
        BinaryPrimitives.WriteUInt32BigEndian(target[size..], (uint)error);
        BinaryPrimitives.WriteUInt16BigEndian(target[(size + 4)..], (ushort)text.Length);
        return size + 6 + Encoding.ASCII.GetBytes(text, target[(size + 6)..]);
    }

    private static NbdReplyFlags Done(bool isLast) => isLast ? NbdReplyFlags.Done : NbdReplyFlags.None;
}
