namespace Byre.Filters;

/// <summary>A request that stands at a breakpoint, on a thread of its own, until it is let go.</summary>
internal sealed class BlkdebugSuspension(string tag) : IDisposable
{
    private readonly ManualResetEventSlim resumed = new();

    /// <summary>The breakpoint's name.</summary>
    public string Tag { get; } = tag;

    /// <summary>Blocks the calling thread until <see cref="Release"/>.</summary>
    public void Wait() => resumed.Wait();

    /// <summary>Lets the request go on.</summary>
    public void Release() => resumed.Set();

    public void Dispose() => resumed.Dispose();
}
