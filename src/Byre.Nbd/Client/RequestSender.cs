using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// Sends requests in their order. The thread that brings one sends it, and all that others bring meanwhile, as long as the
/// socket takes them at once; a thread of its own sends what the socket does not. Small requests leave in one call.
/// </summary>
/// <remarks>Lock order: the gate is a leaf. Only who has set <c>isSending</c> touches the batch.</remarks>
internal sealed class RequestSender(SocketChannel channel, NbdSession session, Action<BlockException> failed) : IRequestSender
{
    private const int BatchLength = 32 << 10;
    private const int SmallPayload = 12 << 10; // copied behind its header, where there is room

    private readonly Lock gate = new();
    private readonly Queue<NbdRequest> queue = new();
    private readonly List<NbdRequest> batch = [];
    private readonly byte[] heads = GC.AllocateUninitializedArray<byte>(BatchLength, pinned: true);
    private readonly SemaphoreSlim idle = new(0);
    private readonly SemaphoreSlim backlog = new(0);
    private Thread? writer;
    private ReadOnlyMemory<byte> payload;
    private int headsStart;
    private int headsEnd;
    private bool isSending;
    private bool isHandedOver;
    private bool isStopped;

    /// <inheritdoc/>
    public void Send(NbdRequest request)
    {
        lock (gate)
        {
            if (isStopped)
            {
                return; // the connection hands the request back
            }

            queue.Enqueue(request);
            if (isSending)
            {
                return;
            }

            isSending = true;
        }

        if (!TrySendAll())
        {
            HandOver();
        }
    }

    /// <inheritdoc/>
    public void SendGoodbye() => Send(new NbdRequest(null).Set(NbdCommand.Disconnect, NbdCommandFlags.None, 0, 0));

    /// <inheritdoc/>
    public void Dispose()
    {
        bool wait;
        lock (gate)
        {
            isStopped = true;
            wait = isSending;
        }

        backlog.Release();
        if (wait)
        {
            idle.Wait();
        }

        writer?.Join();
        idle.Dispose();
        backlog.Dispose();
    }

    /// <summary>Sends what there is, without waiting.</summary>
    /// <returns>False where the socket takes no more now.</returns>
    private bool TrySendAll()
    {
        try
        {
            while (HasLeft() || TakeBatch())
            {
                var sent = channel.TrySend(heads.AsSpan(headsStart..headsEnd), payload.Span);
                if (sent == 0)
                {
                    return false;
                }

                var ofHeads = Math.Min(sent, headsEnd - headsStart);
                headsStart += ofHeads;
                payload = payload[(sent - ofHeads)..];
            }
        }
        catch (Exception e)
        {
            GiveUp(e);
        }

        return true;
    }

    private void WaitAndSendAll()
    {
        try
        {
            while (HasLeft() || TakeBatch())
            {
                channel.Send(heads.AsSpan(headsStart..headsEnd), payload.Span);
                headsStart = headsEnd;
                payload = default;
            }
        }
        catch (Exception e)
        {
            GiveUp(e);
        }
    }

    private bool HasLeft() => headsStart < headsEnd || !payload.IsEmpty;

    /// <summary>The batch is sent; takes the next one.</summary>
    /// <returns>False where there is none: then others may send.</returns>
    private bool TakeBatch()
    {
        EndBatch(null);
        lock (gate)
        {
            if (queue.Count == 0 || isStopped)
            {
                EndSending();
                return false;
            }

            while (payload.IsEmpty && queue.TryPeek(out var next)
                && BatchLength - headsEnd >= NbdRequestHeader.ExtendedSize + (next.Payload.Length <= SmallPayload ? next.Payload.Length : 0))
            {
                Add(queue.Dequeue());
            }
        }

        return true;
    }

    private void Add(NbdRequest request)
    {
        batch.Add(request);
        request.IsBegun = true;
        headsEnd += request.WriteHeader(heads.AsSpan(headsEnd), session.Style);
        if (request.Payload.Length <= SmallPayload)
        {
            request.Payload.Span.CopyTo(heads.AsSpan(headsEnd));
            headsEnd += request.Payload.Length;
        }
        else
        {
            payload = request.Payload;
        }
    }

    /// <summary>Nothing of the batch is touched any more, sent or not.</summary>
    /// <param name="failure">Why it is not sent, or null: it is.</param>
    private void EndBatch(BlockException? failure)
    {
        foreach (var request in batch)
        {
            request.MarkSent(failure);
        }

        batch.Clear();
        payload = default;
        headsStart = headsEnd = 0;
    }

    private void GiveUp(Exception cause)
    {
        var failure = NbdFailures.Lost(session.Server, cause.Message, cause);
        EndBatch(failure);
        failed(failure);
        lock (gate)
        {
            isStopped = true;
            EndSending();
        }
    }

    /// <summary>The caller holds the gate.</summary>
    private void EndSending()
    {
        isSending = false;
        if (isStopped)
        {
            idle.Release();
        }
    }

    /// <summary>What is left goes to the thread that waits.</summary>
    private void HandOver()
    {
        lock (gate)
        {
            if (!isStopped)
            {
                isHandedOver = true;
                if (writer is null)
                {
                    writer = new Thread(Write, 256 << 10) { IsBackground = true, Name = "nbd client, sending" };
                    writer.Start();
                }

                backlog.Release();
                return;
            }
        }

        GiveUp(new IOException("it was closed"));
    }

    private void Write()
    {
        while (true)
        {
            backlog.Wait();
            lock (gate)
            {
                if (!isHandedOver)
                {
                    if (isStopped)
                    {
                        return;
                    }

                    continue;
                }

                isHandedOver = false;
            }

            WaitAndSendAll();
        }
    }
}
