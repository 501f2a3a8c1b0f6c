namespace Byre.Nodes;

/// <summary>What a new internal snapshot is to say of itself. Its id is chosen by the image.</summary>
public sealed record SnapshotRequest
{
    /// <summary>Its name: at most 255 bytes of UTF-8, perhaps none; others may have the same.</summary>
    public required string Name { get; init; }

    /// <summary>When it was taken, from 1970 to 2106.</summary>
    public DateTimeOffset Date { get; init; } = DateTimeOffset.UtcNow;

    /// <summary>How long the guest had been running, in nanoseconds.</summary>
    public ulong VmClockNanoseconds { get; init; }

    /// <summary>
    /// Bytes of VM state that were written behind the disk (<see cref="IVmStateStore"/>): the snapshot takes them over, and the
    /// image has none afterwards. 0: what is there stays.
    /// </summary>
    public ulong VmStateSize { get; init; }

    /// <summary>The guest's instruction count, or null.</summary>
    public ulong? Icount { get; init; }
}
