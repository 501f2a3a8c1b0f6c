using System.Buffers.Binary;

namespace Byre.Nbd.Protocol;

/// <summary>An export's length and abilities: in the reply to EXPORT_NAME, and the content of NBD_INFO_EXPORT after its type.</summary>
/// <param name="Length">Bytes.</param>
/// <param name="Flags">What it can do.</param>
public readonly record struct NbdExportInfo(ulong Length, NbdTransmissionFlags Flags)
{
    /// <summary>Bytes of it.</summary>
    public const int Size = 10;

    /// <summary>Writes it.</summary>
    /// <param name="target">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt64BigEndian(target, Length);
        BinaryPrimitives.WriteUInt16BigEndian(target[8..], (ushort)Flags);
    }

    /// <summary>Reads one.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    public static NbdExportInfo Read(ReadOnlySpan<byte> source) => new(
        BinaryPrimitives.ReadUInt64BigEndian(source), (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(source[8..]));
}
