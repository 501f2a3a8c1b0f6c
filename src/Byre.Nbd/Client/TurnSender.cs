using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>Threads that send their own requests, one after the other, and wait where the socket takes no more.</summary>
/// <remarks>
/// That is safe as long as somebody receives: of all others whose requests are sent one does (see <see cref="NbdConnection"/>).
/// Lock order: the gate, then a request's.
/// </remarks>
internal sealed class TurnSender(SocketChannel channel, NbdSession session, Action<BlockException> failed) : IRequestSender
{
    private readonly Lock gate = new();
    private readonly byte[] header = GC.AllocateUninitializedArray<byte>(NbdRequestHeader.ExtendedSize, pinned: true);
    private bool isStopped;

    /// <inheritdoc/>
    public void Send(NbdRequest request)
    {
        BlockException? failure = null;
        lock (gate)
        {
            if (isStopped)
            {
                return;
            }

            request.IsBegun = true;
            try
            {
                channel.Send(header.AsSpan(0, request.WriteHeader(header, session.Style)), request.Payload.Span);
            }
            catch (Exception e)
            {
                failure = NbdFailures.Lost(session.Server, e.Message, e);
                isStopped = true;
            }

            request.MarkSent(failure);
        }

        if (failure is not null)
        {
            failed(failure);
        }
    }

    /// <inheritdoc/>
    public void SendGoodbye()
    {
        if (!gate.TryEnter())
        {
            return; // in the middle of a request
        }

        try
        {
            if (!isStopped)
            {
                isStopped = true;
                var goodbye = new NbdRequest(null).Set(NbdCommand.Disconnect, NbdCommandFlags.None, 0, 0);
                _ = channel.TrySend(header.AsSpan(0, goodbye.WriteHeader(header, session.Style)));
            }
        }
        catch (IOException)
        {
            // The server has gone first.
        }
        finally
        {
            gate.Exit();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            isStopped = true;
        }
    }
}
