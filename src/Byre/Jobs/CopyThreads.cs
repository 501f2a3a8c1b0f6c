namespace Byre.Jobs;

/// <summary>
/// The threads of a copy. They are real ones, and wait where a node's request does not complete at once: the pool's threads
/// stay free for the nodes.
/// </summary>
internal sealed class CopyThreads(ICopyPlan plan, CopyJobState job, CancellationTokenSource stop)
{
    private readonly Lock planLock = new();
    private readonly Lock failureLock = new();
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Exception? failure;
    private int running;

    /// <summary>Runs until the plan is used up or something failed.</summary>
    /// <param name="count">How many threads, at least 1.</param>
    /// <param name="onCallers">The calling thread is one of them, and is blocked until the others are done.</param>
    /// <returns>The first failure, or null.</returns>
    public async Task<Exception?> RunAsync(int count, bool onCallers)
    {
        running = count;
        for (var i = onCallers ? 1 : 0; i < count; i++)
        {
            new Thread(Work) { IsBackground = true, Name = "copy " + i }.Start();
        }

        if (onCallers)
        {
            Work();
            Wait(new ValueTask(finished.Task));
        }

        await finished.Task.ConfigureAwait(false);
        return failure;
    }

    private static void Wait(ValueTask task)
    {
        if (task.IsCompleted)
        {
            task.GetAwaiter().GetResult();
        }
        else
        {
            task.AsTask().GetAwaiter().GetResult();
        }
    }

    private void Work()
    {
        try
        {
            using var worker = new CopyWorker(job);
            while (Next() is { } chunk)
            {
                Wait(worker.CopyAsync(chunk));
            }
        }
        catch (Exception e)
        {
            Fail(e);
        }
        finally
        {
            if (Interlocked.Decrement(ref running) == 0)
            {
                finished.SetResult();
            }
        }
    }

    private CopyChunk? Next()
    {
        lock (planLock)
        {
            job.Stop.ThrowIfCancellationRequested();
            var next = plan.NextAsync();
            return next.IsCompleted ? next.GetAwaiter().GetResult() : next.AsTask().GetAwaiter().GetResult();
        }
    }

    private void Fail(Exception e)
    {
        lock (failureLock)
        {
            // That others stop is a consequence, not a cause.
            if (failure is null or OperationCanceledException)
            {
                failure = e;
            }
        }

        stop.Cancel();
        job.Order.Abandon();
    }
}
