using Byre.Nodes;

namespace Byre.Filters;

/// <summary>An "inject-error" rule of the blkdebug driver: from its event on, matching requests fail.</summary>
public sealed record BlkdebugErrorRule
{
    /// <summary>The event that arms the rule; <see cref="BlkdebugEvent.None"/> arms it when the node is made.</summary>
    public required BlkdebugEvent Event { get; init; }

    /// <summary>The state in which the event arms the rule, or 0 for every state.</summary>
    public int State { get; init; }

    /// <summary>The kinds of requests that fail.</summary>
    public BlkdebugIoTypes IoTypes { get; init; } = BlkdebugIoTypes.Default;

    /// <summary>The errno that a failing request reports; 0 lets it pass.</summary>
    public int Errno { get; init; } = 5;

    /// <summary>The sector (of 512 bytes) that a request must touch to fail, or -1 for every request.</summary>
    public long Sector { get; init; } = -1;

    /// <summary>The rule is spent by the first request that it fails.</summary>
    public bool Once { get; init; }

    /// <summary>The request fails before it gives way to other requests.</summary>
    public bool Immediately { get; init; }

    /// <summary>A request fails by this rule, once armed.</summary>
    internal bool Matches(BlkdebugIoTypes type, long offset, long length)
    {
        if ((IoTypes & type) == 0)
        {
            return false;
        }

        // A sector is named by its first byte: a request that only touches the sector's tail does not match.
        return Sector < 0 || (Sector <= long.MaxValue / 512 && Sector * 512 >= offset && Sector * 512 < offset + length);
    }
}
