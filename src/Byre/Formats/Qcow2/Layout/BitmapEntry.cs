using System.Buffers.Binary;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>The fixed part of a bitmap directory entry (qcow2 specification, "Bitmap directory"); extra data and the name follow.</summary>
/// <param name="TableOffset">Where the bitmap's table is in the file. Not checked.</param>
/// <param name="TableEntries">How many entries the table has.</param>
/// <param name="Flags">See <see cref="KnownFlags"/>.</param>
/// <param name="Type">1: a dirty bitmap.</param>
/// <param name="GranularityBits">log2 of the bytes that a bit stands for.</param>
/// <param name="NameLength">The name's bytes.</param>
/// <param name="ExtraBytes">Bytes of extra data before the name.</param>
internal readonly record struct BitmapEntry(
    long TableOffset, uint TableEntries, uint Flags, byte Type, byte GranularityBits, ushort NameLength, uint ExtraBytes)
{
    private const int DirtyTracking = 1;
    private const int MinGranularityBits = 9;
    private const int MaxGranularityBits = 31;

    /// <summary>The fixed part's length in bytes.</summary>
    internal const int FixedLength = 24;

    /// <summary>Longest name in bytes; the same bound as QEMU's.</summary>
    internal const int MaxNameLength = 1023;

    /// <summary>Flag: it was not stored properly.</summary>
    internal const uint InUse = 1;

    /// <summary>Flag: it records writes as soon as the image is opened.</summary>
    internal const uint Auto = 2;

    /// <summary>Flag: who does not know the extra data can use the bitmap all the same.</summary>
    internal const uint ExtraDataCompatible = 4;

    /// <summary>All flags that the specification has.</summary>
    internal const uint KnownFlags = InUse | Auto | ExtraDataCompatible;

    internal bool IsInUse => (Flags & InUse) != 0;

    internal bool IsAuto => (Flags & Auto) != 0;

    /// <summary>There is extra data that nobody here knows, and the entry does not say that the bitmap can be used without knowing it.</summary>
    internal bool IsBeyondUse => ExtraBytes != 0 && (Flags & ExtraDataCompatible) == 0;

    /// <summary>Bytes to the next entry.</summary>
    internal long Length => (FixedLength + (long)ExtraBytes + NameLength + 7) & ~7;

    /// <summary>Reads the fixed part.</summary>
    internal static BitmapEntry Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64BigEndian(bytes),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]),
        bytes[16],
        bytes[17],
        BinaryPrimitives.ReadUInt16BigEndian(bytes[18..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[20..]));

    /// <summary>Writes the fixed part.</summary>
    internal void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, TableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], TableEntries);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[12..], Flags);
        bytes[16] = Type;
        bytes[17] = GranularityBits;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[18..], NameLength);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[20..], ExtraBytes);
    }

    /// <summary>What the entry says that cannot be so in an image, as a message goes on behind "it has"; or null.</summary>
    /// <param name="header">The image's header.</param>
    internal string? ProblemIn(Qcow2Header header)
    {
        if (Type != DirtyTracking)
        {
            return $"an unknown type, {Type}";
        }

        if (GranularityBits is < MinGranularityBits or > MaxGranularityBits)
        {
            return $"a granularity of 2^{GranularityBits} bytes";
        }

        if ((Flags & ~KnownFlags) != 0)
        {
            return $"unknown flags, 0x{Flags:x}";
        }

        if (NameLength is 0 or > MaxNameLength)
        {
            return $"a name of {NameLength} bytes";
        }

        if (TableOffset <= 0 || (TableOffset & (header.ClusterSize - 1)) != 0)
        {
            return $"its table at 0x{TableOffset:x}";
        }

        return TableEntries == 0 || (long)TableEntries << header.ClusterBits > BitmapDirectory.MaxBitmapBytes
            || (!IsInUse && TableEntries != BitmapDirectory.TableEntriesFor(header.Size, GranularityBits, header.ClusterBits))
            ? $"a table of {TableEntries} entries" : null;
    }
}
