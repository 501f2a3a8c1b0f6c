namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Drops from time to time what the caches of tables have not used since the last time. It does not keep the caches alive,
/// so that a node that was never closed can be collected.
/// </summary>
internal sealed class CacheCleaner : IDisposable
{
    private readonly Timer timer;

    /// <summary>Starts.</summary>
    /// <param name="interval">How long from one time to the next; more than zero.</param>
    /// <param name="caches">The caches.</param>
    internal CacheCleaner(TimeSpan interval, params SliceCache[] caches)
    {
        WeakReference<SliceCache>[] kept = [.. caches.Select(cache => new WeakReference<SliceCache>(cache))];
        timer = new Timer(Clean, kept, interval, interval);
    }

    /// <inheritdoc/>
    public void Dispose() => timer.Dispose();

    private static void Clean(object? state)
    {
        foreach (var reference in (WeakReference<SliceCache>[])state!)
        {
            if (reference.TryGetTarget(out var cache))
            {
                cache.DropUnused();
            }
        }
    }
}
