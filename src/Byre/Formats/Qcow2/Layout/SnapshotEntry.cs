using System.Text;
using System.Text.Unicode;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>An entry of the snapshot table (qcow2 specification, "Snapshots").</summary>
internal sealed record SnapshotEntry
{
    private const int FixedLength = SnapshotEntryStart.FixedLength;
    private const int KnownExtra = 24;

    /// <summary>Where the snapshot's L1 table is, in bytes of the file.</summary>
    internal required long L1Offset { get; init; }

    /// <summary>How many entries it has.</summary>
    internal required uint L1Entries { get; init; }

    /// <summary>The unique id, decimal digits by custom.</summary>
    internal required string Id { get; init; }

    /// <summary>What a person calls it.</summary>
    internal required string Name { get; init; }

    /// <summary>The id's bytes where they are no UTF-8, so that they stay as they are; else empty.</summary>
    internal ReadOnlyMemory<byte> RawId { get; init; }

    /// <summary>The name's bytes where they are no UTF-8; else empty.</summary>
    internal ReadOnlyMemory<byte> RawName { get; init; }

    /// <summary>When it was taken: seconds since 1970.</summary>
    internal uint DateSeconds { get; init; }

    /// <summary>The part of a second of that time, in nanoseconds.</summary>
    internal uint DateNanoseconds { get; init; }

    /// <summary>How long the machine had run when it was taken, in nanoseconds.</summary>
    internal ulong VmClockNanoseconds { get; init; }

    /// <summary>Bytes of VM state; 0 where there is none.</summary>
    internal ulong VmStateSize { get; init; }

    /// <summary>The disk's length when the snapshot was taken, or null: old images do not say.</summary>
    internal ulong? DiskSize { get; init; }

    /// <summary>The instruction count, or null.</summary>
    internal ulong? Icount { get; init; }

    /// <summary>Bytes of extra data as found in the image; version 3 wants at least 16.</summary>
    internal int ExtraLength { get; init; } = KnownExtra;

    /// <summary>The extra data after what this program knows, kept as it is.</summary>
    internal ReadOnlyMemory<byte> UnknownExtra { get; init; }

    /// <summary>Bytes of the entry as <see cref="Write"/> writes it, padding included.</summary>
    internal int Length => Padded(
        FixedLength + KnownExtra + UnknownExtra.Length + BytesOf(Id, RawId).Length + BytesOf(Name, RawName).Length);

    /// <summary>How many bytes an entry takes, from its first 40: to know what to read.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.TooLarge"/>: more than 1024 bytes of extra data.</exception>
    internal static int LengthOf(ReadOnlySpan<byte> start, string fileName)
    {
        var fixedPart = SnapshotEntryStart.Read(start);
        if (fixedPart.ExtraLength > Qcow2Limits.MaxSnapshotExtraBytes)
        {
            throw new BlockException(
                ErrorCode.TooLarge, $"'{fileName}': an entry of the snapshot table has {fixedPart.ExtraLength} bytes of extra data, more than there can be", fileName);
        }

        return Padded((int)fixedPart.Length);
    }

    /// <summary>Reads an entry.</summary>
    /// <param name="bytes">From the entry's first byte on.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <param name="length">Bytes to the next entry.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Corrupt"/>: cut off; <see cref="ErrorCode.TooLarge"/>: as <see cref="LengthOf"/>.
    /// </exception>
    internal static SnapshotEntry Read(ReadOnlySpan<byte> bytes, string fileName, out int length)
    {
        if (bytes.Length < FixedLength)
        {
            throw CutOff(fileName);
        }

        length = LengthOf(bytes, fileName);
        var start = SnapshotEntryStart.Read(bytes);
        var extra = (int)start.ExtraLength;
        var idAt = FixedLength + extra;
        if (bytes.Length < start.Length)
        {
            throw CutOff(fileName);
        }

        var (id, rawId) = TextOf(bytes.Slice(idAt, start.IdLength));
        var (name, rawName) = TextOf(bytes.Slice(idAt + start.IdLength, start.NameLength));
        var icount = extra >= 24 ? HeaderFields.U64(bytes, FixedLength + 16) : ulong.MaxValue;
        return new SnapshotEntry
        {
            L1Offset = start.L1Offset,
            L1Entries = start.L1Entries,
            DateSeconds = start.DateSeconds,
            DateNanoseconds = start.DateNanoseconds,
            VmClockNanoseconds = start.VmClockNanoseconds,
            VmStateSize = extra >= 8 ? HeaderFields.U64(bytes, FixedLength) : start.VmStateSize,
            DiskSize = extra >= 16 ? HeaderFields.U64(bytes, FixedLength + 8) : null,
            Icount = icount == ulong.MaxValue ? null : icount,
            ExtraLength = extra,
            UnknownExtra = extra > KnownExtra ? bytes[(FixedLength + KnownExtra)..idAt].ToArray() : default,
            Id = id,
            Name = name,
            RawId = rawId,
            RawName = rawName,
        };
    }

    /// <summary>Writes the entry and its padding.</summary>
    /// <param name="bytes">At least <see cref="Length"/> bytes.</param>
    /// <param name="diskSize">Written where the entry does not know its own: the image's length in bytes.</param>
    /// <returns>Bytes written.</returns>
    internal int Write(Span<byte> bytes, long diskSize)
    {
        var id = BytesOf(Id, RawId);
        var name = BytesOf(Name, RawName);
        if (id.Length > ushort.MaxValue || name.Length > ushort.MaxValue)
        {
            throw new BlockException(ErrorCode.Invalid, "A snapshot's id and name may have at most 65535 bytes each.");
        }

        var length = Length;
        bytes = bytes[..length];
        bytes.Clear();
        new SnapshotEntryStart(
            L1Offset, L1Entries, (ushort)id.Length, (ushort)name.Length, DateSeconds, DateNanoseconds, VmClockNanoseconds,
            (uint)Math.Min(VmStateSize, uint.MaxValue), (uint)(KnownExtra + UnknownExtra.Length)).Write(bytes);
        HeaderFields.Put64(bytes, FixedLength, VmStateSize);
        HeaderFields.Put64(bytes, FixedLength + 8, DiskSize ?? (ulong)diskSize);
        HeaderFields.Put64(bytes, FixedLength + 16, Icount ?? ulong.MaxValue);
        UnknownExtra.Span.CopyTo(bytes[(FixedLength + KnownExtra)..]);
        var at = FixedLength + KnownExtra + UnknownExtra.Length;
        id.Span.CopyTo(bytes[at..]);
        name.Span.CopyTo(bytes[(at + id.Length)..]);
        return length;
    }

    private static ReadOnlyMemory<byte> BytesOf(string text, ReadOnlyMemory<byte> raw) => raw.IsEmpty ? Encoding.UTF8.GetBytes(text) : raw;

    private static (string Text, ReadOnlyMemory<byte> Raw) TextOf(ReadOnlySpan<byte> bytes)
    {
        var text = Encoding.UTF8.GetString(bytes);
        return (text, Utf8.IsValid(bytes) ? default(ReadOnlyMemory<byte>) : bytes.ToArray());
    }

    private static int Padded(int length) => (length + 7) & ~7;

    private static BlockException CutOff(string fileName) =>
        new(ErrorCode.Corrupt, $"'{fileName}': The snapshot table is cut off", fileName);
}
