using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// The breakpoints of the blkdebug driver. A breakpoint stops one request and is spent by it. A request that reaches an
/// event with several breakpoints stops at all of them, the newest first, and goes on when each was resumed.
/// </summary>
internal sealed class BlkdebugBreakpoints
{
    private readonly Lock gate = new();
    private readonly List<(BlkdebugEvent Event, string Tag)> breakpoints = [];
    private readonly List<BlkdebugSuspension> suspended = [];
    private volatile bool any;
    private bool closed;

    /// <summary>Called with the tag, on the request's thread, when a request stops.</summary>
    public Action<string>? Suspended { get; set; }

    /// <summary>How many stops are in force; a request may stand at several.</summary>
    public int SuspendedCount
    {
        get
        {
            lock (gate)
            {
                return suspended.Count;
            }
        }
    }

    public void Add(BlkdebugEvent at, string tag)
    {
        lock (gate)
        {
            breakpoints.Add((at, tag));
            any = true;
        }
    }

    /// <summary>Forgets the breakpoints of a tag and lets all requests go that stand at it.</summary>
    /// <returns>False where there was no such breakpoint that no request had reached.</returns>
    public bool Remove(string tag)
    {
        bool removed;
        lock (gate)
        {
            removed = breakpoints.RemoveAll(b => string.Equals(b.Tag, tag, StringComparison.Ordinal)) > 0;
            any = breakpoints.Count > 0;
        }

        while (Resume(tag))
        {
        }

        return removed;
    }

    public int CountSuspended(string tag)
    {
        lock (gate)
        {
            return suspended.Count(s => string.Equals(s.Tag, tag, StringComparison.Ordinal));
        }
    }

    /// <summary>Lets go the request that stopped last at the tag.</summary>
    public bool Resume(string tag)
    {
        lock (gate)
        {
            var i = suspended.FindLastIndex(s => string.Equals(s.Tag, tag, StringComparison.Ordinal));
            if (i < 0)
            {
                return false;
            }

            suspended[i].Release();
            suspended.RemoveAt(i);
            return true;
        }
    }

    /// <summary>Lets all requests go; none stops from now on.</summary>
    public void Close()
    {
        lock (gate)
        {
            closed = true;
            any = false;
            breakpoints.Clear();
            suspended.ForEach(s => s.Release());
            suspended.Clear();
        }
    }

    /// <summary>Stops the calling thread where a breakpoint says so.</summary>
    public void OnEvent(BlkdebugEvent happened)
    {
        if (!any)
        {
            return;
        }

        List<BlkdebugSuspension>? stops = null;
        lock (gate)
        {
            for (var i = breakpoints.Count - 1; i >= 0 && !closed; i--)
            {
                if (breakpoints[i].Event == happened)
                {
                    var stop = new BlkdebugSuspension(breakpoints[i].Tag);
                    (stops ??= []).Add(stop);
                    suspended.Add(stop);
                    breakpoints.RemoveAt(i);
                }
            }

            any = breakpoints.Count > 0;
        }

        if (stops is null)
        {
            return;
        }

        foreach (var stop in stops)
        {
            Suspended?.Invoke(stop.Tag);
        }

        foreach (var stop in stops)
        {
            stop.Wait();
            stop.Dispose();
        }
    }
}
