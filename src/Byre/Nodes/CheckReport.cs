namespace Byre.Nodes;

/// <summary>
/// What a check found. After a repair <see cref="Corruptions"/> and <see cref="Leaks"/> count what is left, and
/// <see cref="Findings"/> tell of the image as it was before.
/// </summary>
public sealed record CheckReport
{
    /// <summary>Entries that contradict the format or one another: data may be lost, or will be when the image is written.</summary>
    public long Corruptions { get; init; }

    /// <summary>Clusters with a higher reference count than they have references: only space is lost.</summary>
    public long Leaks { get; init; }

    /// <summary>Things that could not be checked.</summary>
    public long CheckErrors { get; init; }

    /// <summary>Corruptions that were there before the repair and are not any more.</summary>
    public long CorruptionsFixed { get; init; }

    /// <summary>Leaks that were there before the repair and are not any more.</summary>
    public long LeaksFixed { get; init; }

    /// <summary>The byte behind the last cluster in use.</summary>
    public long ImageEndOffset { get; init; }

    /// <summary>The guest's clusters; what the next three count are among these.</summary>
    public long TotalClusters { get; init; }

    /// <summary>Guest clusters that have a host cluster, or are compressed.</summary>
    public long AllocatedClusters { get; init; }

    /// <summary>Allocated clusters that do not follow the one before them in the file.</summary>
    public long FragmentedClusters { get; init; }

    /// <summary>Compressed clusters.</summary>
    public long CompressedClusters { get; init; }

    /// <summary>The four counts of clusters mean something for this format.</summary>
    public bool HasFragmentation { get; init; }

    /// <summary>What was found, in the order of the check; the first ones only.</summary>
    public IReadOnlyList<CheckFinding> Findings { get; init; } = [];

    /// <summary>How many <see cref="Findings"/> leaves out.</summary>
    public long DroppedFindings { get; init; }

    /// <summary>Why the check or the repair could not be brought to its end: one line, or null. The counts are partial then.</summary>
    public string? Aborted { get; init; }
}
