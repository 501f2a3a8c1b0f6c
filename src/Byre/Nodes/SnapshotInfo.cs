namespace Byre.Nodes;

/// <summary>What is known of an internal snapshot.</summary>
/// <param name="Id">Its unique id, decimal digits by custom.</param>
/// <param name="Name">Its name, which others may have as well.</param>
/// <param name="DateSeconds">When it was taken: seconds since 1970 (UTC).</param>
/// <param name="DateNanoseconds">The part below a second.</param>
/// <param name="VmClockNanoseconds">How long the guest had been running.</param>
/// <param name="VmStateSize">Bytes of VM state; 0 where there is none.</param>
/// <param name="DiskSize">The disk's length in bytes when it was taken, or null: old images do not say.</param>
/// <param name="Icount">The guest's instruction count, or null.</param>
public sealed record SnapshotInfo(
    string Id,
    string Name,
    uint DateSeconds,
    uint DateNanoseconds,
    ulong VmClockNanoseconds,
    ulong VmStateSize,
    ulong? DiskSize,
    ulong? Icount);
