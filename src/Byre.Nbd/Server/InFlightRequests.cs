using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// The requests of a connection that could not be answered at once. They end on whatever thread; the connection's thread
/// takes them here, and can wait for them together with its socket.
/// </summary>
/// <param name="maxRequests">The most requests.</param>
/// <param name="maxBytes">The most bytes of their buffers; one request is always taken.</param>
/// <param name="budget">The memory of all clients; where it is used up, one request is in flight at a time.</param>
/// <param name="failures">Says what a failure means to the client.</param>
internal sealed class InFlightRequests(int maxRequests, long maxBytes, MemoryBudget budget, RequestFailures failures) : IDisposable
{
    private readonly ConcurrentQueue<PendingRequest> done = new();
    private WakeEvent? wake;
    private long bytes;
    private int isWaiting;
    private volatile bool isCut;

    /// <summary>How many have begun and were not taken yet.</summary>
    public int Count { get; private set; }

    /// <summary>No further request should begin.</summary>
    public bool IsFull => Count >= maxRequests || bytes >= maxBytes || (Count > 0 && budget.IsExhausted);

    /// <summary>Takes a request over that has not ended.</summary>
    /// <param name="request">The request.</param>
    /// <param name="operation">What it does.</param>
    public void Add(PendingRequest request, ValueTask operation)
    {
        Count++;
        bytes += request.Held;
        budget.Take(request.Counted);
        if (!TryMakeWake())
        {
            // Nothing could tell the thread that it has ended: the thread waits for it here.
            Finish(request, operation.AsTask());
            return;
        }

        var awaiter = operation.ConfigureAwait(false).GetAwaiter();
        awaiter.UnsafeOnCompleted(() => Finish(request, awaiter));
    }

    /// <summary>Takes one that has ended.</summary>
    public bool TryTake(out PendingRequest request)
    {
        if (Count == 0 || !done.TryDequeue(out request!))
        {
            request = null!;
            return false;
        }

        Count--;
        bytes -= request.Held;
        budget.Return(request.Counted);
        return true;
    }

    /// <summary>Waits until one has ended, or something happens on the socket; only while there are some.</summary>
    /// <param name="channel">The socket.</param>
    /// <param name="reads">Also until there is something to receive.</param>
    /// <param name="timeout">Milliseconds, or -1.</param>
    public ChannelEvents Wait(SocketChannel channel, bool reads, int timeout)
    {
        Volatile.Write(ref isWaiting, 1);
        Interlocked.MemoryBarrier();
        try
        {
            return done.IsEmpty ? WaitIn(channel, reads, timeout) : ChannelEvents.Woken;
        }
        finally
        {
            Volatile.Write(ref isWaiting, 0);
        }
    }

    /// <summary>The connection is to end: what has begun and can stop in between does so.</summary>
    public bool IsCut => isCut;

    /// <summary>Ends a wait: the connection is to end.</summary>
    public void Cut()
    {
        isCut = true;
        wake?.Set();
    }

    /// <summary>Gives the event back; only while none is in flight.</summary>
    public void Dispose()
    {
        wake?.Dispose();
        wake = null;
    }

    private ChannelEvents WaitIn(SocketChannel channel, bool reads, int timeout)
    {
        // A socket that has failed would end every wait: where nothing is to be received it is left out.
        var events = reads ? channel.Poll(ChannelEvents.Readable, wake, timeout) : wake!.Wait(timeout);
        if ((events & ChannelEvents.Woken) != 0)
        {
            wake!.Reset();
        }

        return events;
    }

    private bool TryMakeWake()
    {
        try
        {
            wake ??= new WakeEvent();
            return true;
        }
        catch (IOException)
        {
            return false; // the system has no descriptors left
        }
    }

    private void Finish(PendingRequest request, Task operation)
    {
        try
        {
            operation.GetAwaiter().GetResult();
        }
        catch (Exception e)
        {
            request.Error = failures.Explain(e, request.Header);
        }

        done.Enqueue(request);
    }

    private void Finish(PendingRequest request, in ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter ended)
    {
        try
        {
            ended.GetResult();
        }
        catch (Exception e)
        {
            request.Error = failures.Explain(e, request.Header);
        }

        done.Enqueue(request);
        if (Interlocked.Exchange(ref isWaiting, 0) != 0)
        {
            Volatile.Read(ref wake)?.Set();
        }
    }
}
