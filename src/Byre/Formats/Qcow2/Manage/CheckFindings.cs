using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Counts what a check finds, and keeps the first findings.</summary>
internal sealed class CheckFindings
{
    /// <summary>How many findings are kept.</summary>
    public const int MaxKept = 10000;

    private readonly List<CheckFinding> kept = [];

    /// <summary>Contradictions.</summary>
    public long Corruptions { get; private set; }

    /// <summary>Those among them that are nothing but wrong COPIED flags.</summary>
    public long WrongCopied { get; private set; }

    /// <summary>Clusters whose reference count is too high.</summary>
    public long Leaks { get; private set; }

    /// <summary>Things that could not be checked.</summary>
    public long CheckErrors { get; private set; }

    /// <summary>Findings that were not kept.</summary>
    public long Dropped { get; private set; }

    /// <summary>The findings that were kept.</summary>
    public IReadOnlyList<CheckFinding> Kept => kept;

    /// <summary>There is room for a finding; where not, callers need not make its line.</summary>
    public bool WantsLines => kept.Count < MaxKept;

    /// <summary>Counts corruptions.</summary>
    /// <param name="kind">What it is.</param>
    /// <param name="count">How many; 0 counts nothing and says nothing.</param>
    /// <param name="remedy">What a repair does about it.</param>
    /// <param name="place">Where it is.</param>
    /// <param name="line">What it is in words, or null where <see cref="WantsLines"/> is false.</param>
    public void Corruption(CheckFindingKind kind, long count, CheckRemedy remedy, FindingPlace place, string? line)
    {
        if (count > 0)
        {
            Corruptions += count;
            WrongCopied += kind == CheckFindingKind.CopiedFlag ? count : 0;
            Keep(kind, CheckSeverity.Corruption, count, remedy, place, line);
        }
    }

    /// <summary>Counts clusters that are counted and not used.</summary>
    public void Leak(long count, FindingPlace place, string? line)
    {
        Leaks += count;
        Keep(CheckFindingKind.RefcountTooHigh, CheckSeverity.Leak, count, CheckRemedy.LowerRefcount, place, line);
    }

    /// <summary>Counts things that could not be checked.</summary>
    public void CheckError(CheckFindingKind kind, long count, CheckRemedy remedy, FindingPlace place, string? line)
    {
        CheckErrors += count;
        Keep(kind, CheckSeverity.Error, count, remedy, place, line);
    }

    /// <summary>Says something that is harmless, or counted elsewhere.</summary>
    public void Note(CheckFindingKind kind, FindingPlace place, string? line) =>
        Keep(kind, CheckSeverity.Note, 0, CheckRemedy.None, place, line);

    /// <summary>Completes findings with what is known only later.</summary>
    public void Complete(Func<CheckFinding, CheckFinding> complete)
    {
        for (var i = 0; i < kept.Count; i++)
        {
            kept[i] = complete(kept[i]);
        }
    }

    private void Keep(CheckFindingKind kind, CheckSeverity severity, long count, CheckRemedy remedy, FindingPlace place, string? line)
    {
        if (!WantsLines || line is null)
        {
            Dropped++;
            return;
        }

        kept.Add(new CheckFinding
        {
            Kind = kind,
            Severity = severity,
            Count = count,
            Offset = place.Offset,
            GuestOffset = place.Guest,
            Table = place.Table,
            Index = place.Index,
            Remedy = remedy,
            Text = line,
        });
    }
}
