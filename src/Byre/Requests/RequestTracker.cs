using System.Runtime.CompilerServices;

namespace Byre.Requests;

/// <summary>
/// Counts the requests in flight on one node, keeps leases and requests that overlap apart, and holds users' requests back
/// while the node is drained.
/// </summary>
/// <remarks>
/// <para>
/// While there is neither lease nor drain, entering is one interlocked addition and leaving another. The first lease or
/// drain closes the gate: whoever enters then registers under the lock. A lease waits for the ranged requests that came
/// uncounted by range before the gate closed, and for older registered requests that overlap it; an ordinary request
/// waits for older leases that overlap it. Everybody waits only for older ones, so nobody waits in a circle.
/// </para>
/// <para>
/// Lock order: <c>gate</c> is a leaf. Nothing is called, awaited or completed while it is held.
/// </para>
/// </remarks>
internal sealed class RequestTracker
{
    // One word, so that entering is one instruction: bits 0-30 count requests with a range, bits 31-61 those without
    // (flushes, questions for extents), bit 62 says that the gate is closed.
    private const long UnrangedOne = 1L << 31;
    private const long RangedMask = UnrangedOne - 1;
    private const long Gated = 1L << 62;
    private const long CountMask = Gated - 1;

    private readonly Lock gate = new();
    private readonly List<RequestEntry> entries = []; // oldest first; leases not yet granted are in it too
    private long state;
    private int leases;
    private int drains;
    private bool closed;
    private TaskCompletionSource? undrained;
    private TaskCompletionSource? pulse;

    /// <summary>How many drains hold users' requests back.</summary>
    public int Drains
    {
        get
        {
            lock (gate)
            {
                return drains;
            }
        }
    }

    /// <summary>The requests in flight or waiting for a lease, the leases among them included.</summary>
    public int InFlight
    {
        get
        {
            lock (gate)
            {
                var s = Volatile.Read(ref state);
                return (int)(s & RangedMask) + (int)((s & CountMask) / UnrangedOne) + entries.Count;
            }
        }
    }

    /// <summary>Enters a request with a range, if the gate is open. Leave with <see cref="Leave()"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref state) < Gated)
        {
            return true;
        }

        Leave();
        return false;
    }

    /// <summary>Enters a request without a range, if the gate is open. Leave with <see cref="LeaveUnranged"/>.</summary>
    public bool TryEnterUnranged()
    {
        if (Interlocked.Add(ref state, UnrangedOne) < Gated)
        {
            return true;
        }

        LeaveUnranged();
        return false;
    }

    /// <summary>Ends what <see cref="TryEnter"/>, or <see cref="EnterAsync"/> answering null, began.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Leave()
    {
        var s = Interlocked.Decrement(ref state);
        if (s >= Gated && (s & RangedMask) == 0)
        {
            Pulse();
        }
    }

    /// <summary>Ends what <see cref="TryEnterUnranged"/> or <see cref="EnterUnrangedAsync"/> began.</summary>
    public void LeaveUnranged()
    {
        if (Interlocked.Add(ref state, -UnrangedOne) >= Gated)
        {
            Pulse();
        }
    }

    /// <summary>Enters a request with a range, waiting for drains (if it is a user's) and older leases that overlap it.</summary>
    /// <returns>An entry to give to <see cref="Leave(RequestEntry?)"/>; null where the request is only counted.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<RequestEntry?> EnterAsync(long start, long end, bool isUser)
    {
        RequestEntry? entry = null;
        while (true)
        {
            Task wait;
            lock (gate)
            {
                if (!MustWaitForDrain(isUser, out wait!))
                {
                    if (leases == 0)
                    {
                        Interlocked.Increment(ref state);
                        return null;
                    }

                    entry = new RequestEntry(start, end, isLease: false);
                    entries.Add(entry);
                    break;
                }
            }

            await wait.ConfigureAwait(false);
        }

        await WaitForOlderAsync(entry).ConfigureAwait(false);
        return entry;
    }

    /// <summary>Enters a request without a range, waiting for drains if it is a user's.</summary>
    public async ValueTask EnterUnrangedAsync(bool isUser)
    {
        while (true)
        {
            Task wait;
            lock (gate)
            {
                if (!MustWaitForDrain(isUser, out wait!))
                {
                    Interlocked.Add(ref state, UnrangedOne);
                    return;
                }
            }

            await wait.ConfigureAwait(false);
        }
    }

    /// <summary>Waits until nothing else is in flight in the range, and keeps it so until the entry leaves.</summary>
    public async ValueTask<RequestEntry> EnterLeaseAsync(long start, long end, bool isUser)
    {
        RequestEntry? entry = null;
        while (true)
        {
            Task wait;
            lock (gate)
            {
                if (!MustWaitForDrain(isUser, out wait!))
                {
                    entry = new RequestEntry(start, end, isLease: true);
                    entries.Add(entry);
                    leases++;
                    Interlocked.Or(ref state, Gated);
                    break;
                }
            }

            await wait.ConfigureAwait(false);
        }

        while (true)
        {
            Task wait;
            lock (gate)
            {
                if ((Volatile.Read(ref state) & RangedMask) == 0)
                {
                    break;
                }

                wait = (pulse ??= NewSource()).Task;
            }

            await wait.ConfigureAwait(false);
        }

        await WaitForOlderAsync(entry).ConfigureAwait(false);
        return entry;
    }

    /// <summary>Ends what <see cref="EnterAsync"/> or <see cref="EnterLeaseAsync"/> began.</summary>
    public void Leave(RequestEntry? entry)
    {
        if (entry is null)
        {
            Leave();
            return;
        }

        TaskCompletionSource? left;
        TaskCompletionSource? woken;
        lock (gate)
        {
            entries.Remove(entry);
            if (entry.IsLease)
            {
                leases--;
                OpenGateIfUnused();
            }

            left = entry.Left;
            woken = pulse;
            pulse = null;
        }

        left?.TrySetResult();
        woken?.TrySetResult();
    }

    /// <summary>Holds back the requests of users that come from now on. Nests.</summary>
    public void BeginDrain()
    {
        lock (gate)
        {
            drains++;
            Interlocked.Or(ref state, Gated);
        }
    }

    /// <summary>Ends one <see cref="BeginDrain"/>.</summary>
    public void EndDrain()
    {
        TaskCompletionSource? released = null;
        lock (gate)
        {
            if (--drains == 0)
            {
                released = undrained;
                undrained = null;
                OpenGateIfUnused();
            }
        }

        released?.TrySetResult();
    }

    /// <summary>Waits until nothing is in flight. The gate must be closed by a drain.</summary>
    public async ValueTask WaitIdleAsync()
    {
        while (true)
        {
            Task wait;
            lock (gate)
            {
                if ((Volatile.Read(ref state) & CountMask) == 0 && entries.Count == 0)
                {
                    return;
                }

                wait = (pulse ??= NewSource()).Task;
            }

            await wait.ConfigureAwait(false);
        }
    }

    /// <summary>The node is closing: waits for what is in flight; whoever comes later is refused.</summary>
    public ValueTask CloseAsync()
    {
        TaskCompletionSource? released;
        lock (gate)
        {
            closed = true;
            drains++;
            Interlocked.Or(ref state, Gated);
            released = undrained;
            undrained = null;
        }

        released?.TrySetResult();
        return WaitIdleAsync();
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private bool MustWaitForDrain(bool isUser, out Task? wait)
    {
        if (isUser && drains > 0)
        {
            ObjectDisposedException.ThrowIf(closed, typeof(Nodes.BlockNode));
            wait = (undrained ??= NewSource()).Task;
            return true;
        }

        wait = null;
        return false;
    }

    private async ValueTask WaitForOlderAsync(RequestEntry entry)
    {
        while (true)
        {
            Task wait;
            lock (gate)
            {
                RequestEntry? blocker = null;
                foreach (var other in entries)
                {
                    if (ReferenceEquals(other, entry))
                    {
                        break;
                    }

                    if (other.ConflictsWith(entry))
                    {
                        blocker = other;
                        break;
                    }
                }

                if (blocker is null)
                {
                    return;
                }

                wait = (blocker.Left ??= NewSource()).Task;
            }

            await wait.ConfigureAwait(false);
        }
    }

    private void OpenGateIfUnused()
    {
        if (leases == 0 && drains == 0)
        {
            Interlocked.And(ref state, ~Gated);
        }
    }

    private void Pulse()
    {
        TaskCompletionSource? woken;
        lock (gate)
        {
            woken = pulse;
            pulse = null;
        }

        woken?.TrySetResult();
    }
}
