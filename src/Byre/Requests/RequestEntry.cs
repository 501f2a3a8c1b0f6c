namespace Byre.Requests;

/// <summary>A request whose range is registered in a <see cref="RequestTracker"/>; its owner's lock guards it.</summary>
internal sealed class RequestEntry(long start, long end, bool isLease)
{
    /// <summary>First byte.</summary>
    public long Start { get; } = start;

    /// <summary>The first byte after it.</summary>
    public long End { get; } = end;

    /// <summary>It excludes every other request that overlaps it.</summary>
    public bool IsLease { get; } = isLease;

    /// <summary>Completes when the request has left; made by the first who waits for it.</summary>
    public TaskCompletionSource? Left { get; set; }

    /// <summary>The two may not run at the same time.</summary>
    public bool ConflictsWith(RequestEntry other) =>
        (IsLease || other.IsLease) && Start < other.End && other.Start < End;
}
