using System.Buffers.Binary;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>Where the header's fields are, in bytes (qcow2 specification, "Header"). All are big-endian.</summary>
internal static class HeaderFields
{
    internal const uint Magic = 0x514649fb;
    internal const int Version2Length = 72;
    internal const int Version3MinLength = 104;

    /// <summary>The length of the version 3 header that this program knows.</summary>
    internal const int Version3Length = 112;

    internal const int Version = 4;
    internal const int BackingOffset = 8;
    internal const int BackingLength = 16;
    internal const int ClusterBits = 20;
    internal const int Size = 24;
    internal const int CryptMethod = 32;
    internal const int L1Entries = 36;
    internal const int L1Offset = 40;
    internal const int RefcountTableOffset = 48;
    internal const int RefcountTableClusters = 56;
    internal const int SnapshotCount = 60;
    internal const int SnapshotsOffset = 64;
    internal const int Incompatible = 72;
    internal const int Compatible = 80;
    internal const int Autoclear = 88;
    internal const int RefcountOrder = 96;
    internal const int HeaderLength = 100;
    internal const int CompressionType = 104;

    /// <summary>Reads the fixed fields; nothing is checked. <paramref name="bytes"/> holds at least the version's minimum.</summary>
    internal static Qcow2Header Read(ReadOnlySpan<byte> bytes)
    {
        var header = new Qcow2Header
        {
            Version = (int)U32(bytes, Version),
            ClusterBits = (int)U32(bytes, ClusterBits),
            Size = (long)U64(bytes, Size),
            CryptMethod = U32(bytes, CryptMethod),
            L1Entries = U32(bytes, L1Entries),
            L1Offset = (long)U64(bytes, L1Offset),
            RefcountTableOffset = (long)U64(bytes, RefcountTableOffset),
            RefcountTableClusters = U32(bytes, RefcountTableClusters),
            SnapshotCount = U32(bytes, SnapshotCount),
            SnapshotsOffset = (long)U64(bytes, SnapshotsOffset),
            RefcountOrder = 4,
            HeaderLength = Version2Length,
        };
        if (header.Version < 3)
        {
            return header;
        }

        header = header with
        {
            Incompatible = (IncompatibleFeatures)U64(bytes, Incompatible),
            Compatible = (CompatibleFeatures)U64(bytes, Compatible),
            Autoclear = (AutoclearFeatures)U64(bytes, Autoclear),
            RefcountOrder = (int)U32(bytes, RefcountOrder),
            HeaderLength = (int)U32(bytes, HeaderLength),
        };
        return header.HeaderLength > CompressionType && bytes.Length > CompressionType
            ? header with { CompressionType = (Qcow2CompressionType)bytes[CompressionType] }
            : header;
    }

    /// <summary>Writes the fixed fields, without the backing file's.</summary>
    /// <param name="header">The header.</param>
    /// <param name="headerLength">The header's length as written.</param>
    /// <param name="bytes">At least <paramref name="headerLength"/> bytes.</param>
    internal static void Write(Qcow2Header header, int headerLength, Span<byte> bytes)
    {
        Put32(bytes, 0, Magic);
        Put32(bytes, Version, (uint)header.Version);
        Put32(bytes, ClusterBits, (uint)header.ClusterBits);
        Put32(bytes, CryptMethod, header.CryptMethod);
        WriteChanging(header, bytes);
        if (header.Version >= 3)
        {
            Put32(bytes, RefcountOrder, (uint)header.RefcountOrder);
            Put32(bytes, HeaderLength, (uint)headerLength);
            bytes[CompressionType] = (byte)header.CompressionType;
        }
    }

    /// <summary>Writes those fixed fields that change while an image is in use; all else of the header stays as it is.</summary>
    /// <param name="header">The header.</param>
    /// <param name="bytes">The header as it was.</param>
    internal static void WriteChanging(Qcow2Header header, Span<byte> bytes)
    {
        Put64(bytes, Size, (ulong)header.Size);
        Put32(bytes, L1Entries, header.L1Entries);
        Put64(bytes, L1Offset, (ulong)header.L1Offset);
        Put64(bytes, RefcountTableOffset, (ulong)header.RefcountTableOffset);
        Put32(bytes, RefcountTableClusters, header.RefcountTableClusters);
        Put32(bytes, SnapshotCount, header.SnapshotCount);
        Put64(bytes, SnapshotsOffset, (ulong)header.SnapshotsOffset);
        if (header.Version >= 3)
        {
            Put64(bytes, Incompatible, (ulong)header.Incompatible);
            Put64(bytes, Compatible, (ulong)header.Compatible);
            Put64(bytes, Autoclear, (ulong)header.Autoclear);
        }
    }

    internal static uint U32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]);

    internal static ulong U64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt64BigEndian(bytes[at..]);

    internal static void Put32(Span<byte> bytes, int at, uint value) => BinaryPrimitives.WriteUInt32BigEndian(bytes[at..], value);

    internal static void Put64(Span<byte> bytes, int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(bytes[at..], value);
}
