namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Clusters on their way from "a table in memory does not name them any more" to "free". They must not be used again before
/// the write that unlinked them is durable, and before every request that may have seen the old link has ended.
/// </summary>
/// <remarks>All members belong to the holder of the metadata lock.</remarks>
internal sealed class Quarantine(RequestEpochs epochs, long clusterSize)
{
    private readonly Queue<(long Epoch, List<FreedRange> Ranges)> retired = new();
    private List<FreedRange> pending = [];
    private List<FreedRange> written = [];

    /// <summary>Nothing waits.</summary>
    public bool IsEmpty => pending.Count == 0 && written.Count == 0 && retired.Count == 0;

    /// <summary>How many ranges wait for a round.</summary>
    public int PendingCount => pending.Count;

    /// <summary>A table in memory lost its link to the clusters, in the same hold of the lock.</summary>
    public void Add(in FreedRange range)
    {
        if (pending.Count > 0 && pending[^1] is var last && last.Punch == range.Punch && last.Offset + (last.Count * clusterSize) == range.Offset)
        {
            pending[^1] = last with { Count = last.Count + range.Count };
            return;
        }

        pending.Add(range);
    }

    /// <summary>What is pending: the copies of tables that are taken in the same hold of the lock do not name it.</summary>
    public List<FreedRange> TakePending()
    {
        var taken = pending;
        pending = [];
        return taken;
    }

    /// <summary>A round failed before its tables were written.</summary>
    public void PutBack(List<FreedRange> taken) => pending.InsertRange(0, taken);

    /// <summary>The tables without the links are written, and will be durable with the next sync.</summary>
    public void MarkWritten(List<FreedRange> taken) => written.AddRange(taken);

    /// <summary>What is written now; the caller syncs and then calls <see cref="Retire"/>.</summary>
    public int WrittenCount => written.Count;

    /// <summary>The first of what is written is durable: it waits for older requests only.</summary>
    public void Retire(int count)
    {
        if (count > 0)
        {
            retired.Enqueue((epochs.Current, written.GetRange(0, count)));
            written.RemoveRange(0, count);
        }
    }

    /// <summary>Takes what no request can see any more.</summary>
    public List<FreedRange>? TakeSafe()
    {
        List<FreedRange>? safe = null;
        epochs.TryAdvance();
        while (retired.TryPeek(out var first) && epochs.HasEnded(first.Epoch))
        {
            (safe ??= []).AddRange(retired.Dequeue().Ranges);
        }

        return safe;
    }

    /// <summary>Releasing failed: what is left waits for a later round.</summary>
    public void RetireAgain(in FreedRange rest) => retired.Enqueue((epochs.Current, [rest]));
}
