namespace Byre.Jobs;

/// <summary>
/// Lets chunks begin to write in the order of their numbers. It orders beginnings only: the writes themselves overlap.
/// </summary>
internal sealed class WriteOrder(bool isWanted)
{
    private readonly object gate = new();
    private long next;
    private bool isOver;

    /// <summary>Waits for the turn of a chunk and passes it on.</summary>
    /// <exception cref="OperationCanceledException">The copy ends early.</exception>
    public void Await(long sequence)
    {
        if (!isWanted)
        {
            return;
        }

        lock (gate)
        {
            while (next != sequence && !isOver)
            {
                Monitor.Wait(gate);
            }

            if (isOver)
            {
                throw new OperationCanceledException();
            }

            next++;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>The copy ends early: nobody waits any more.</summary>
    public void Abandon()
    {
        lock (gate)
        {
            isOver = true;
            Monitor.PulseAll(gate);
        }
    }
}
