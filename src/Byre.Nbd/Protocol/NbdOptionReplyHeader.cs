using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>A reply to an option, without its data (section "Fixed newstyle negotiation").</summary>
/// <param name="Option">The option that is replied to.</param>
/// <param name="Reply">What the reply is; may be a number that is not known.</param>
/// <param name="Length">Bytes of data that follow.</param>
public readonly record struct NbdOptionReplyHeader(NbdOption Option, NbdOptionReply Reply, uint Length)
{
    /// <summary>Bytes of it.</summary>
    public const int Size = 20;

    /// <summary>The option failed; no other reply to it follows.</summary>
    public bool IsError => ((uint)Reply & (1u << 31)) != 0;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt64BigEndian(target, NbdMagic.OptionReply);
        BinaryPrimitives.WriteUInt32BigEndian(target[8..], (uint)Option);
        BinaryPrimitives.WriteUInt32BigEndian(target[12..], (uint)Reply);
        BinaryPrimitives.WriteUInt32BigEndian(target[16..], Length);
    }

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>False where no reply to an option begins so.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionReplyHeader header)
    {
        header = new NbdOptionReplyHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            (NbdOptionReply)BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[16..]));
        return BinaryPrimitives.ReadUInt64BigEndian(source) == NbdMagic.OptionReply;
    }
}
