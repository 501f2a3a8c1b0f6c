namespace Byre.Formats.Qcow2.Manage;

/// <summary>Counts what a check finds, and keeps the first lines about it.</summary>
internal sealed class CheckFindings
{
    /// <summary>How many lines are kept.</summary>
    public const int MaxLines = 10000;

    private readonly List<string> lines = [];

    /// <summary>Contradictions.</summary>
    public long Corruptions { get; private set; }

    /// <summary>Those among them that are nothing but wrong COPIED flags.</summary>
    public long WrongCopied { get; private set; }

    /// <summary>Clusters whose reference count is too high.</summary>
    public long Leaks { get; private set; }

    /// <summary>Things that could not be checked.</summary>
    public long CheckErrors { get; private set; }

    /// <summary>Lines that were not kept.</summary>
    public long Dropped { get; private set; }

    /// <summary>The lines that were kept.</summary>
    public IReadOnlyList<string> Lines => lines;

    /// <summary>There is room for a line; where not, callers need not make it.</summary>
    public bool WantsLines => lines.Count < MaxLines;

    /// <summary>Counts corruptions.</summary>
    /// <param name="count">How many; 0 counts nothing and says nothing.</param>
    /// <param name="line">What it is, or null where <see cref="WantsLines"/> is false.</param>
    public void Corruption(long count, string? line)
    {
        if (count > 0)
        {
            Corruptions += count;
            Say("ERROR: ", line);
        }
    }

    /// <summary>Counts corruptions that are wrong COPIED flags.</summary>
    public void CopiedCorruption(long count, string? line)
    {
        WrongCopied += count;
        Corruption(count, line);
    }

    /// <summary>Counts leaks.</summary>
    public void Leak(long count, string? line)
    {
        Leaks += count;
        Say("Leak: ", line);
    }

    /// <summary>Counts things that could not be checked.</summary>
    public void CheckError(long count, string? line)
    {
        CheckErrors += count;
        Say("ERROR: ", line);
    }

    /// <summary>Says something that is counted elsewhere.</summary>
    public void Note(string? line) => Say("Note: ", line);

    private void Say(string kind, string? line)
    {
        if (WantsLines && line is not null)
        {
            lines.Add(kind + line);
        }
        else
        {
            Dropped++;
        }
    }
}
