using System.Buffers.Binary;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>The fixed part of a snapshot table entry (qcow2 specification, "Snapshots"); extra data, the id and the name follow.</summary>
/// <param name="L1Offset">Where the snapshot's L1 table is in the file. Not checked.</param>
/// <param name="L1Entries">How many entries it has. Not checked.</param>
/// <param name="IdLength">The id's bytes.</param>
/// <param name="NameLength">The name's bytes.</param>
/// <param name="DateSeconds">When it was taken: seconds since 1970.</param>
/// <param name="DateNanoseconds">The part of a second of that time.</param>
/// <param name="VmClockNanoseconds">How long the machine had run.</param>
/// <param name="VmStateSize">Bytes of VM state, where the extra data does not say it.</param>
/// <param name="ExtraLength">Bytes of extra data. Not checked.</param>
internal readonly record struct SnapshotEntryStart(
    long L1Offset, uint L1Entries, ushort IdLength, ushort NameLength, uint DateSeconds, uint DateNanoseconds, ulong VmClockNanoseconds,
    uint VmStateSize, uint ExtraLength)
{
    /// <summary>The fixed part's length in bytes.</summary>
    internal const int FixedLength = 40;

    /// <summary>Bytes of the whole entry, without the padding that the next one begins behind.</summary>
    internal long Length => FixedLength + (long)ExtraLength + IdLength + NameLength;

    /// <summary>Reads the fixed part.</summary>
    internal static SnapshotEntryStart Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64BigEndian(bytes),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt16BigEndian(bytes[12..]),
        BinaryPrimitives.ReadUInt16BigEndian(bytes[14..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[16..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[20..]),
        BinaryPrimitives.ReadUInt64BigEndian(bytes[24..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[32..]),
        BinaryPrimitives.ReadUInt32BigEndian(bytes[36..]));

    /// <summary>Writes the fixed part.</summary>
    internal void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt64BigEndian(bytes, L1Offset);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], L1Entries);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[12..], IdLength);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[14..], NameLength);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[16..], DateSeconds);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[20..], DateNanoseconds);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[24..], VmClockNanoseconds);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[32..], VmStateSize);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[36..], ExtraLength);
    }
}
