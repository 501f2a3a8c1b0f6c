namespace Byre.Formats.Qcow2.Metadata;

/// <summary>One holder at a time; waiting is asynchronous.</summary>
#pragma warning disable CA1001 // the semaphore's wait handle, all there is to dispose, is never asked for
internal sealed class AsyncMutex
#pragma warning restore CA1001
{
    private readonly SemaphoreSlim semaphore = new(1, 1);

    /// <summary>Waits for it, and holds it.</summary>
    public Task WaitAsync() => semaphore.WaitAsync();

    /// <summary>Lets go of it.</summary>
    public void Release() => semaphore.Release();
}
