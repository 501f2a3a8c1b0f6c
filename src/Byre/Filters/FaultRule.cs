using Byre.Nodes;

namespace Byre.Filters;

/// <summary>A fault of a <see cref="FaultNode"/>: what happens to the n-th request of some kinds.</summary>
public sealed record FaultRule
{
    /// <summary>The requests that are counted.</summary>
    public FaultKinds Kinds { get; init; } = FaultKinds.All;

    /// <summary>The first counted request that is hit; 1 is the next.</summary>
    public long First { get; init; } = 1;

    /// <summary>How many requests are hit, from the first on.</summary>
    public long Count { get; init; } = 1;

    /// <summary>What happens to a request that is hit.</summary>
    public FaultAction Action { get; init; }

    /// <summary>The errno that a failing request reports; 1 to 4095.</summary>
    public int Errno { get; init; } = 5;

    /// <summary>How long a delayed request waits.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>How many bytes of a request that is cut short reach the child at most, before it fails.</summary>
    public long Bytes { get; init; }

    /// <summary>Throws unless the numbers are in their ranges.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>.</exception>
    internal void Validate()
    {
        if (First < 1 || Count < 0 || Errno is < 1 or > 4095 || Delay < TimeSpan.Zero || Bytes < 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"fault: a rule has a number out of its range ({this})");
        }
    }
}
