using System.Buffers.Binary;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>The header extension that tells where the bitmap directory is (qcow2 specification, "Bitmaps extension").</summary>
/// <param name="Count">How many bitmaps there are.</param>
/// <param name="DirectoryBytes">The directory's length. Not checked.</param>
/// <param name="DirectoryOffset">Where the directory is in the file. Not checked.</param>
internal readonly record struct BitmapsExtension(uint Count, ulong DirectoryBytes, ulong DirectoryOffset)
{
    /// <summary>The extension's length in bytes.</summary>
    internal const int Length = 24;

    /// <summary>Most bitmaps; the same bound as QEMU's.</summary>
    internal const int MaxBitmaps = 65535;

    /// <summary>Largest directory in bytes; the same bound as QEMU's.</summary>
    internal const int MaxDirectoryBytes = 64 << 20;

    /// <summary>Its numbers can be those of a directory in an image with such clusters.</summary>
    internal bool IsPlausible(int clusterSize) =>
        Count is > 0 and <= MaxBitmaps && DirectoryBytes is > 0 and <= MaxDirectoryBytes
        && DirectoryOffset is > 0 and <= long.MaxValue - MaxDirectoryBytes && (DirectoryOffset & (uint)(clusterSize - 1)) == 0;

    /// <summary>
    /// The extension of an image as stored; null where there is none, or where it counts as absent: a program that does not know
    /// it has written to the image, and has cleared the autoclear bit.
    /// </summary>
    internal static ReadOnlyMemory<byte>? BytesIn(Qcow2Header header) =>
        (header.Autoclear & AutoclearFeatures.Bitmaps) == 0 ? null : header.FindExtension(HeaderExtensionTypes.Bitmaps)?.Data;

    /// <summary>Reads it; null where it is too short.</summary>
    internal static BitmapsExtension? Read(ReadOnlySpan<byte> bytes) => bytes.Length < Length ? null : new(
        BinaryPrimitives.ReadUInt32BigEndian(bytes),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]));

    /// <summary>Writes it.</summary>
    internal void Write(Span<byte> bytes)
    {
        bytes[..Length].Clear();
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Count);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], DirectoryBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[16..], DirectoryOffset);
    }
}
