using Byre.Nodes;

namespace Byre.Filters;

/// <summary>A "set-state" rule of the blkdebug driver.</summary>
public sealed record BlkdebugStateRule
{
    /// <summary>The event that changes the state.</summary>
    public required BlkdebugEvent Event { get; init; }

    /// <summary>The state in which it does so, or 0 for every state.</summary>
    public int State { get; init; }

    /// <summary>The state afterwards.</summary>
    public int NewState { get; init; }
}
