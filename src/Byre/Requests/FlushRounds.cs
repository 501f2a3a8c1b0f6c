using Byre.Nodes;

namespace Byre.Requests;

/// <summary>
/// One node's flushes. They run one after the other; all that come while one runs share the next. The node is only synced
/// where it, or a child it writes to, was written since the last flush that succeeded.
/// </summary>
/// <remarks>Lock order: <c>gate</c> is a leaf; nothing is called, awaited or completed while it is held.</remarks>
internal sealed class FlushRounds(BlockNode node)
{
    private readonly Lock gate = new();
    private Round? running;
    private Round? next;
    private int written;

    /// <summary>
    /// A write, successful or not, has ended: the next flush has something to do. It is called when the bytes are where a
    /// sync that begins later finds them, so a flag is enough.
    /// </summary>
    public void MarkWritten()
    {
        if (Volatile.Read(ref written) == 0)
        {
            Volatile.Write(ref written, 1);
        }
    }

    /// <summary>All that was written before is on stable storage when it completes.</summary>
    public ValueTask FlushAsync()
    {
        Round round;
        Round? before;
        lock (gate)
        {
            if (next is not null)
            {
                return new ValueTask(next.Join());
            }

            round = new Round();
            before = running;
            if (before is null)
            {
                running = round;
            }
            else
            {
                _ = before.Join();
                next = round;
            }
        }

        return LeadAsync(round, before);
    }

    /// <summary>Something was written to the node, or below it, that no flush has covered.</summary>
    private bool IsWritten()
    {
        if (Volatile.Read(ref written) != 0)
        {
            return true;
        }

        foreach (var child in node.Children)
        {
            if ((child.Permissions.Used & (Permissions.Write | Permissions.WriteUnchanged)) != 0 && child.Node.Flushes.IsWritten())
            {
                return true;
            }
        }

        return false;
    }

    private async ValueTask LeadAsync(Round round, Round? before)
    {
        if (before is not null)
        {
            await before.Done!.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            lock (gate)
            {
                next = null; // who comes now may miss the start of this round
            }
        }

        Exception? failure = null;
        try
        {
            await FlushOnceAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
            throw;
        }
        finally
        {
            TaskCompletionSource? done;
            lock (gate)
            {
                running = next;
                done = round.Done;
            }

            Complete(done, failure);
        }
    }

    private static void Complete(TaskCompletionSource? done, Exception? failure)
    {
        if (failure is null)
        {
            done?.TrySetResult();
        }
        else if (done is not null)
        {
            done.TrySetException(failure);
            _ = done.Task.Exception; // it may be that only the next round waits, and it does not care
        }
    }

    private async ValueTask FlushOnceAsync()
    {
        var primary = node.PrimaryChild?.Node;
        var wasWritten = Interlocked.Exchange(ref written, 0) != 0;
        try
        {
            primary?.OnDebugEvent(BlkdebugEvent.FlushToOs);
            await node.WriteBackAsync().ConfigureAwait(false);
            if (!node.IgnoresFlushes && (wasWritten || IsWritten()))
            {
                primary?.OnDebugEvent(BlkdebugEvent.FlushToDisk);
                await node.SyncAsync().ConfigureAwait(false);
            }
        }
        catch
        {
            if (wasWritten)
            {
                MarkWritten();
            }

            throw;
        }
    }

    private sealed class Round
    {
        /// <summary>Completes with the round; made by the first who waits for it.</summary>
        public TaskCompletionSource? Done { get; private set; }

        /// <summary>Waits for it. The caller holds the lock.</summary>
        public Task Join() => (Done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
    }
}
