using System.Collections.Concurrent;
using System.Diagnostics;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>
/// The requests in flight. A request starts on the caller's thread and runs until it first has to wait. Where the image
/// has breakpoints it starts on a thread of its own instead, since a breakpoint blocks it there, and the caller goes on as
/// soon as the request waits or stops. What a finished request has to print is kept until a command waits for something,
/// so the order of the lines follows from the order in which requests end.
/// </summary>
internal sealed class IoRequests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly ConcurrentQueue<Action> finished = new();
    private readonly SemaphoreSlim signal = new(0);
    private int inFlight;
    private TaskCompletionSource? stopWaiter;
    private BlkdebugNode? breakpoints;

    /// <summary>The image's breakpoints, or null.</summary>
    public BlkdebugNode? Breakpoints
    {
        get => breakpoints;
        set => breakpoints = value;
    }

    /// <summary>A request has stopped at a breakpoint.</summary>
    public void OnSuspended() => Volatile.Read(ref stopWaiter)?.TrySetResult();

    /// <summary>Starts a request whose result is printed later.</summary>
    /// <param name="request">What to do.</param>
    /// <param name="report">Called from <see cref="Dispatch"/> and the waits.</param>
    public async ValueTask StartAsync(Func<ValueTask> request, Action<BlockException?, TimeSpan> report)
    {
        inFlight++;
        if (breakpoints is null)
        {
            _ = FollowAsync(request, report);
            return;
        }

        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref stopWaiter, stopped);
        var started = Task.Factory.StartNew(
            () => FollowAsync(request, report), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.WhenAny(started, stopped.Task).ConfigureAwait(false);
        Volatile.Write(ref stopWaiter, null);
    }

    /// <summary>Runs a request and waits for it; what other requests have to print until then is printed first.</summary>
    /// <returns>The failure, or null; and how long it took.</returns>
    /// <exception cref="IoStuckException">It stands at a breakpoint, and no command can come to resume it.</exception>
    public async ValueTask<(BlockException? Failure, TimeSpan Elapsed)> RunAsync(Func<ValueTask> request)
    {
        (BlockException? Failure, TimeSpan Elapsed)? outcome = null;
        await StartAsync(request, (failure, elapsed) => outcome = (failure, elapsed)).ConfigureAwait(false);
        while (outcome is null)
        {
            await WaitAsync(Patience).ConfigureAwait(false);
        }

        return outcome.Value;
    }

    /// <summary>Waits for all requests.</summary>
    /// <exception cref="IoStuckException">Some stand at a breakpoint, and no command can come to resume them.</exception>
    public async ValueTask DrainAsync()
    {
        Dispatch();
        while (inFlight > 0)
        {
            await WaitAsync(Patience).ConfigureAwait(false);
        }
    }

    /// <summary>Prints what finished requests have to print, in the order in which they ended.</summary>
    public void Dispatch()
    {
        while (finished.TryDequeue(out var report))
        {
            inFlight--;
            report();
        }
    }

    /// <summary>Lets time pass, printing what ends meanwhile.</summary>
    public async ValueTask SleepAsync(TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        Dispatch();
        while (time - clock.Elapsed is var left && left > TimeSpan.Zero)
        {
            await signal.WaitAsync(left).ConfigureAwait(false);
            Dispatch();
        }
    }

    /// <summary>Waits until a request stands at a tag.</summary>
    /// <exception cref="IoStuckException">No request in flight can come there.</exception>
    public async ValueTask WaitForStopAsync(BlkdebugNode node, string tag)
    {
        var clock = Stopwatch.StartNew();
        while (!node.IsSuspended(tag))
        {
            await signal.WaitAsync(TimeSpan.FromMilliseconds(5)).ConfigureAwait(false);
            Dispatch();
            if (inFlight == 0 || clock.Elapsed > Patience)
            {
                throw new IoStuckException($"no request in flight comes to the breakpoint '{tag}'");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => signal.Dispose();

    private async Task FollowAsync(Func<ValueTask> request, Action<BlockException?, TimeSpan> report)
    {
        var clock = Stopwatch.StartNew();
        BlockException? failure = null;
        try
        {
            await request().ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            failure = e;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException or OutOfMemoryException)
        {
            failure = new BlockException(ErrorCode.Io, e.Message, inner: e);
        }

        var elapsed = clock.Elapsed;
        finished.Enqueue(() => report(failure, elapsed));
        signal.Release();
    }

    private async ValueTask WaitAsync(TimeSpan patience)
    {
        while (!await signal.WaitAsync(patience).ConfigureAwait(false))
        {
            if (breakpoints is { SuspendedCount: > 0 })
            {
                throw new IoStuckException("a request stands at a breakpoint, and nothing can resume it while this command waits");
            }
        }

        Dispatch();
    }
}
