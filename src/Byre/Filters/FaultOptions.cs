namespace Byre.Filters;

/// <summary>What a <see cref="FaultNode"/> does.</summary>
public sealed record FaultOptions
{
    /// <summary>The faults. Each counts on its own; the first one that hits a request decides.</summary>
    public IReadOnlyList<FaultRule> Rules { get; init; } = [];
}
