namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Knows when all requests that began before some moment have ended, at the cost of two interlocked operations a request.
/// Requests are counted in one of two counters; the epoch moves on when the other counter is empty.
/// </summary>
internal sealed class RequestEpochs
{
    private long epoch = 2;
    private long even;
    private long odd;

    /// <summary>The epoch now: what it marks is safe once <see cref="HasEnded"/> says so.</summary>
    public long Current => Volatile.Read(ref epoch);

    /// <summary>A request begins.</summary>
    /// <returns>To be given to <see cref="Leave"/>.</returns>
    public long Enter()
    {
        while (true)
        {
            var now = Volatile.Read(ref epoch);
            Interlocked.Increment(ref Counter(now));
            if (now == Volatile.Read(ref epoch))
            {
                return now;
            }

            Interlocked.Decrement(ref Counter(now));
        }
    }

    /// <summary>A request has ended.</summary>
    public void Leave(long entered) => Interlocked.Decrement(ref Counter(entered));

    /// <summary>Moves on where that is possible. One caller at a time.</summary>
    public void TryAdvance()
    {
        for (var i = 0; i < 2; i++)
        {
            var now = Volatile.Read(ref epoch);
            if (Interlocked.Read(ref Counter(now + 1)) != 0)
            {
                return;
            }

            Interlocked.Exchange(ref epoch, now + 1);
        }
    }

    /// <summary>All requests that began in or before an epoch have ended.</summary>
    public bool HasEnded(long marked)
    {
        var now = Volatile.Read(ref epoch);
        return now >= marked + 2 || (now == marked + 1 && Interlocked.Read(ref Counter(marked)) == 0);
    }

    private ref long Counter(long of) => ref (of & 1) == 0 ? ref even : ref odd;
}
