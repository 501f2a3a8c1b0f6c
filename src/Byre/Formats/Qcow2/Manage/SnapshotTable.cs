using System.Globalization;
using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>The snapshot table of an image, as it is on disk (qcow2 specification, "Snapshots").</summary>
/// <param name="Entries">Its entries, in their order.</param>
/// <param name="Bytes">How many bytes it takes, with the padding of the last entry.</param>
internal sealed record SnapshotTable(IReadOnlyList<SnapshotEntry> Entries, long Bytes)
{
    private const int MaxNameBytes = 255; // what others cut longer names to

    /// <summary>Reads it.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <param name="mayBeCut">Where the table is cut off, those entries that are whole are read, and nothing is thrown.</param>
    /// <exception cref="BlockException">It cannot be read, is cut off, or is over a limit.</exception>
    public static async ValueTask<SnapshotTable> ReadAsync(BlockEdge file, Qcow2Header header, bool mayBeCut = false)
    {
        var name = TableWindow.NameOf(file);
        var entries = new List<SnapshotEntry>();
        var window = new TableWindow(file, header.SnapshotsOffset, Qcow2Limits.MaxSnapshotTableBytes, $"'{name}': The snapshot table");
        var bytes = 0L;
        for (var i = 0u; i < header.SnapshotCount; i++)
        {
            if (mayBeCut && !window.Has(SnapshotEntryStart.FixedLength))
            {
                break;
            }

            var start = await window.PeekAsync(SnapshotEntryStart.FixedLength).ConfigureAwait(false);
            var length = SnapshotEntry.LengthOf(start.Span, name);
            if (mayBeCut && !window.Has((int)SnapshotEntryStart.Read(start.Span).Length))
            {
                break;
            }

            // The padding of the last entry need not be there.
            var entry = SnapshotEntry.Read((await window.PeekAsync(length, padding: 7).ConfigureAwait(false)).Span, name, out _);
            bytes = window.At + length - header.SnapshotsOffset;
            window.Skip(length);
            entries.Add(entry);
        }

        return new SnapshotTable(entries, bytes);
    }

    /// <summary>The bytes of a table.</summary>
    /// <param name="entries">Its entries.</param>
    /// <param name="diskSize">The disk's length, for entries that do not know their own.</param>
    /// <param name="name">What messages call the image.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.TooLarge"/>: there are too many, or they are too long together.</exception>
    public static byte[] Encode(IReadOnlyList<SnapshotEntry> entries, long diskSize, string name)
    {
        var length = entries.Sum(e => (long)e.Length);
        if (entries.Count > Qcow2Limits.MaxSnapshots || length > Qcow2Limits.MaxSnapshotTableBytes)
        {
            throw new BlockException(
                ErrorCode.TooLarge,
                $"The image '{name}' cannot keep more snapshots: at most {Qcow2Limits.MaxSnapshots}, and {Qcow2Limits.MaxSnapshotTableBytes >> 20} MiB of names and data about them",
                name);
        }

        var bytes = new byte[length];
        var at = 0;
        foreach (var entry in entries)
        {
            at += entry.Write(bytes.AsSpan(at), diskSize);
        }

        return bytes;
    }

    /// <summary>Makes the entry of a new snapshot, which has no L1 table yet.</summary>
    /// <param name="request">What it is to say.</param>
    /// <param name="diskSize">The disk's length.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the name is too long; <see cref="ErrorCode.NotSupported"/>: the date does not fit.
    /// </exception>
    public SnapshotEntry NewEntry(SnapshotRequest request, long diskSize)
    {
        if (Encoding.UTF8.GetByteCount(request.Name) > MaxNameBytes)
        {
            throw new BlockException(ErrorCode.Invalid, $"The name of a snapshot may have at most {MaxNameBytes} bytes");
        }

        var ticks = request.Date.UtcTicks - DateTimeOffset.UnixEpoch.Ticks;
        if (ticks < 0 || ticks / TimeSpan.TicksPerSecond > uint.MaxValue)
        {
            throw new BlockException(ErrorCode.NotSupported, "The date of a snapshot lies between the years 1970 and 2106");
        }

        return new SnapshotEntry
        {
            L1Offset = 0,
            L1Entries = 0,
            Id = NextId(),
            Name = request.Name,
            DateSeconds = (uint)(ticks / TimeSpan.TicksPerSecond),
            DateNanoseconds = (uint)(ticks % TimeSpan.TicksPerSecond) * (uint)TimeSpan.NanosecondsPerTick,
            VmClockNanoseconds = request.VmClockNanoseconds,
            VmStateSize = request.VmStateSize,
            DiskSize = (ulong)diskSize,
            Icount = request.Icount,
        };
    }

    /// <summary>Finds a snapshot.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>: there is none.</exception>
    public int Find(SnapshotSelector which, string name)
    {
        var index = which.IndexIn([.. Entries.Select(Describe)]);
        return index >= 0 ? index : throw new BlockException(ErrorCode.NotFound, $"The image '{name}' has no snapshot {which}", name);
    }

    /// <summary>What users see of an entry.</summary>
    public static SnapshotInfo Describe(SnapshotEntry entry) => new(
        entry.Id, entry.Name, entry.DateSeconds, entry.DateNanoseconds, entry.VmClockNanoseconds, entry.VmStateSize, entry.DiskSize, entry.Icount);

    /// <summary>One more than the highest number with which an id begins.</summary>
    private string NextId()
    {
        var highest = 0UL;
        foreach (var entry in Entries)
        {
            var digits = entry.Id.AsSpan().TrimStart();
            digits = digits[..(digits.IndexOfAnyExceptInRange('0', '9') is >= 0 and var end ? end : digits.Length)];
            if (ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var id) && id < ulong.MaxValue)
            {
                highest = Math.Max(highest, id);
            }
        }

        return (highest + 1).ToString(CultureInfo.InvariantCulture);
    }
}
