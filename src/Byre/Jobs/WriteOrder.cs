namespace Byre.Jobs;

/// <summary>
/// Lets chunks write in the order of their numbers. A chunk holds its turn until its last write has begun, so that a target
/// allocates in the order of the offsets; these last writes overlap.
/// </summary>
internal sealed class WriteOrder(bool isWanted)
{
    private readonly object gate = new();
    private long next;
    private bool isOver;

    /// <summary>Waits for the turn of a chunk.</summary>
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
        }
    }

    /// <summary>Gives the turn of a chunk to the next one. Each chunk does it once, after it waited.</summary>
    public void Pass(long sequence)
    {
        if (!isWanted)
        {
            return;
        }

        lock (gate)
        {
            next = sequence + 1;
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
