namespace Byre.Nodes;

/// <summary>One thing that a check has found.</summary>
public sealed record CheckFinding
{
    /// <summary>What it is.</summary>
    public required CheckFindingKind Kind { get; init; }

    /// <summary>How bad it is.</summary>
    public required CheckSeverity Severity { get; init; }

    /// <summary>How many clusters or references it stands for in the report's counts; 0 for a note.</summary>
    public required long Count { get; init; }

    /// <summary>
    /// Where it is in the image file, in bytes: the entry where <see cref="Table"/> is set, otherwise the first of the clusters;
    /// null where it has no such place.
    /// </summary>
    public long? Offset { get; init; }

    /// <summary>The first byte of the disk that it concerns, where that is known.</summary>
    public long? GuestOffset { get; init; }

    /// <summary>The table whose entry it is, or null.</summary>
    public CheckTable? Table { get; init; }

    /// <summary>The entry's number in the table, from 0 on, where that is known.</summary>
    public long? Index { get; init; }

    /// <summary>What a repair does about it.</summary>
    public CheckRemedy Remedy { get; init; }

    /// <summary>One line for a person.</summary>
    public required string Text { get; init; }

    /// <summary>The line, with a word on how bad it is.</summary>
    public override string ToString() => Severity switch
    {
        CheckSeverity.Note => "Note: ",
        CheckSeverity.Leak => "Leak: ",
        _ => "ERROR: ",
    } + Text;
}
