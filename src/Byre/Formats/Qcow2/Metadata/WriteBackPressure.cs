namespace Byre.Formats.Qcow2.Metadata;

/// <summary>How much waits for a round of write-back: slices of changed tables, and freed clusters in quarantine.</summary>
internal sealed class WriteBackPressure(SliceCache l2, Quarantine quarantine, WriteBackRound round)
{
    private const int DirtyBytes = 8 << 20;
    private const int PendingLimit = 65536;

    private readonly int dirtyLimit = DirtyBytes / l2.SliceSize;

    /// <summary>Too much waits.</summary>
    public bool IsHigh => l2.DirtyCount > dirtyLimit || quarantine.PendingCount > PendingLimit;

    /// <summary>Runs a round where too much waits; else completes at once.</summary>
    public ValueTask RelieveAsync() => IsHigh ? round.RunAsync() : default;
}
