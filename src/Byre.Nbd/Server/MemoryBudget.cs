namespace Byre.Nbd.Server;

/// <summary>
/// What the requests of all clients together may hold in buffers. Where it is used up nobody waits for it, as who holds it may
/// never let go: a client then has one request in flight, and long transfers go through a small buffer.
/// </summary>
/// <param name="limit">Bytes.</param>
internal sealed class MemoryBudget(long limit)
{
    private long used;

    /// <summary>Bytes in use; may be over the limit by what cannot go without.</summary>
    public long Used => Volatile.Read(ref used);

    /// <summary>All of it is in use.</summary>
    public bool IsExhausted => Used >= limit;

    /// <summary>Takes memory for a long transfer.</summary>
    /// <param name="bytes">Its bytes.</param>
    /// <returns>Null where so much is not left.</returns>
    public PayloadLease? TryLease(long bytes)
    {
        if (Interlocked.Add(ref used, bytes) <= limit)
        {
            return new PayloadLease(this, bytes);
        }

        Return(bytes);
        return null;
    }

    /// <summary>Counts memory that is in use in any case.</summary>
    public void Take(long bytes) => Interlocked.Add(ref used, bytes);

    /// <summary>Memory is not in use any more.</summary>
    public void Return(long bytes) => Interlocked.Add(ref used, -bytes);
}
