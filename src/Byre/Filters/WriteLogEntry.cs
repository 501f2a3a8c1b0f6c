using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// One request that a <see cref="WriteLogNode"/> saw, or a mark. Times are ticks of the log's clock
/// (<see cref="WriteLogClock"/>); entries stand in the order in which they began.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Offset">First byte; for a resize 0.</param>
/// <param name="Length">Bytes; for a resize the new length.</param>
/// <param name="Data">What was written; empty for other kinds.</param>
/// <param name="Flags">The request's flags: Fua says that it is on stable storage once it has ended.</param>
/// <param name="Label">The text of a mark, or null.</param>
/// <param name="Began">The tick at which it began.</param>
public sealed record WriteLogEntry(
    WriteLogKind Kind, long Offset, long Length, ReadOnlyMemory<byte> Data, WriteFlags Flags, string? Label, long Began)
{
    private long ended = long.MaxValue;
    private bool failed;

    /// <summary>The tick at which it ended; <see cref="long.MaxValue"/> while it is in flight.</summary>
    public long Ended => Volatile.Read(ref ended);

    /// <summary>It ended with a failure: it may have been done, or not, or in part.</summary>
    public bool Failed => Volatile.Read(ref failed);

    /// <summary>The first byte after it.</summary>
    public long End => Offset + Length;

    /// <summary>It changes what is stored.</summary>
    public bool IsChange => Kind is not (WriteLogKind.Flush or WriteLogKind.Mark);

    /// <summary>It ends.</summary>
    internal void Finish(long tick, bool failure)
    {
        Volatile.Write(ref failed, failure);
        Volatile.Write(ref ended, tick);
    }
}
