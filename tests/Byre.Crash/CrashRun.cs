using Byre.Filters;

namespace Byre.Crash;

/// <summary>What a workload left: the files' logs, and what the guest did meanwhile.</summary>
internal sealed record CrashRun(
    CrashConfiguration Configuration, int Seed, GuestModel Model, WriteLogClock Clock, CrashFile File, CrashFile? DataFile, byte[]? Backing)
{
    /// <summary>The snapshot's content, where there is one.</summary>
    public byte[]? Snapshot { get; init; }

    /// <summary>How many references the image gave back that were not counted.</summary>
    public long UncountedReleases { get; init; }

    /// <summary>The image was closed at the log's end.</summary>
    public bool WasClosed { get; init; }

    /// <summary>The times between any two events, at which the machine may crash; after the last as well.</summary>
    public long[] CrashTicks() =>
        [.. File.Entries.Concat(DataFile?.Entries ?? []).Where(e => e.IsChange || e.Kind == WriteLogKind.Flush).Select(e => e.Began).Order(), Clock.Now + 1];
}
