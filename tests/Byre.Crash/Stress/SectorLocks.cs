namespace Byre.Crash.Stress;

/// <summary>Keeps changes of the same sectors apart, so that it is known what they hold afterwards.</summary>
internal sealed class SectorLocks
{
    private readonly List<(int First, int End)> held = [];

    /// <summary>Waits until nobody holds any of the sectors, and takes them.</summary>
    public void Take(int first, int count)
    {
        lock (held)
        {
            while (held.Exists(h => h.First < first + count && first < h.End))
            {
                Monitor.Wait(held);
            }

            held.Add((first, first + count));
        }
    }

    /// <summary>Lets go of what was taken.</summary>
    public void Release(int first, int count)
    {
        lock (held)
        {
            _ = held.Remove((first, first + count));
            Monitor.PulseAll(held);
        }
    }
}
