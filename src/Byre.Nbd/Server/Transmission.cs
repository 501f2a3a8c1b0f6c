using System.Buffers.Binary;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// The transmission phase of one connection (section "Transmission"), as a loop for a thread that may wait in the kernel: it
/// receives into one buffer, begins every complete request in it, and sends all replies that are ready at once.
/// </summary>
/// <remarks>
/// While nothing is in flight the thread waits in the receive alone, so that a request costs two calls of the socket; otherwise
/// it waits for the socket and for the requests together. A client's mistakes are answered and forgotten where the stream can
/// still be understood; where it cannot, the connection ends.
/// </remarks>
internal sealed class Transmission : IDisposable
{
    private const int BufferSize = 256 << 10;

    // A payload that is not all here and longer than this is received where it will be written from.
    private const int LongPayload = 64 << 10;

    // Payloads that are too long by less than this are read and dropped; longer ones end the connection.
    private const long MostSkipped = 64 << 20;

    // Waits end after this time, so that a connection at rest can give back what it holds.
    private const int PatienceMilliseconds = 1000;

    private readonly ServerConnection connection;
    private readonly SocketChannel channel;
    private readonly ReceiveBuffer input;
    private readonly NbdHeaderStyle style;
    private readonly MemoryBudget budget;
    private readonly ReplyQueue replies;
    private readonly InFlightRequests inFlight;
    private readonly RequestRunner runner;
    private readonly int headSize;
    private readonly int maxPayload;
    private long toSkip;
    private bool isEnding;
    private bool expectsLong;

    /// <summary>Makes one; what the client has sent already is in the connection's buffer.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="state">What was negotiated.</param>
    /// <param name="export">The export that was chosen.</param>
    public Transmission(ServerConnection connection, HandshakeState state, NbdExport export)
    {
        var options = connection.Options;
        this.connection = connection;
        channel = connection.Channel;
        input = connection.Input;
        style = state.Style;
        headSize = NbdRequestHeader.SizeOf(style);
        maxPayload = options.MaxPayload;
        var failures = new RequestFailures(export.Name, options.LogsFailedRequests ? options.Log : null);
        replies = new ReplyQueue(channel);
        budget = connection.Budget;
        inFlight = new InFlightRequests(options.MaxInFlightRequests, options.MaxInFlightBytes, budget, failures);
        var contexts = state.ContextsOf(export);
        var status = contexts.Count == 0 ? null : new StatusRunner(export, style, contexts, options.AlignContexts);
        var pieces = new PiecewiseTransfers(export, style, channel, input, replies, failures);
        runner = new RequestRunner(export, style, status, replies, inFlight, budget, pieces, failures, maxPayload);
        channel.SetReceiveTimeout(TimeSpan.FromMilliseconds(PatienceMilliseconds));
    }

    /// <summary>Serves until the connection is at rest or at its end.</summary>
    /// <exception cref="IOException">The connection failed.</exception>
    public ConnectionStep Run()
    {
        while (true)
        {
            DeliverEnded();
            BeginReceived();
            replies.Send();
            if (isEnding && inFlight.Count == 0)
            {
                return ConnectionStep.Close;
            }

            if (!Wait())
            {
                Shrink();
                return ConnectionStep.Park;
            }
        }
    }

    /// <summary>Ends a wait for requests in flight: the connection is to end.</summary>
    public void Cut() => inFlight.Cut();

    /// <summary>
    /// Waits for the requests in flight without answering them: their buffers are theirs until they end. Then gives
    /// everything back.
    /// </summary>
    public void Dispose()
    {
        while (inFlight.Count > 0)
        {
            if (inFlight.TryTake(out var request))
            {
                request.Release();
            }
            else
            {
                inFlight.Wait(channel, reads: false, PatienceMilliseconds);
            }
        }

        replies.Release();
        inFlight.Dispose();
    }

    private void DeliverEnded()
    {
        while (inFlight.TryTake(out var request))
        {
            runner.Deliver(request);
            if (replies.IsFull)
            {
                replies.Send();
            }
        }
    }

    /// <summary>Begins the complete requests in the buffer, as far as limits allow.</summary>
    private void BeginReceived()
    {
        while (!isEnding && !inFlight.IsFull && (!SkipPayload() || input.Available >= headSize))
        {
            if (toSkip > 0 || !BeginNext())
            {
                return;
            }

            if (replies.IsFull)
            {
                replies.Send();
            }
        }

        CheckMagic();
    }

    /// <summary>What cannot become a request ends the connection without a wait for the rest of it.</summary>
    private void CheckMagic()
    {
        if (!isEnding && toSkip == 0 && input.Available is >= sizeof(uint) and < NbdRequestHeader.CompactSize
            && BinaryPrimitives.ReadUInt32BigEndian(input.Unread) != (style == NbdHeaderStyle.Extended ? NbdMagic.ExtendedRequest : NbdMagic.Request))
        {
            throw new IOException("it sent what is no request");
        }
    }

    /// <summary>Drops what has come of a payload that nobody wants.</summary>
    /// <returns>True: there is none, or all of it has been dropped.</returns>
    private bool SkipPayload()
    {
        var count = (int)Math.Min(toSkip, input.Available);
        input.Skip(count);
        toSkip -= count;
        return toSkip == 0;
    }

    /// <summary>Begins the next request.</summary>
    /// <returns>False if more of it must be received first.</returns>
    private bool BeginNext()
    {
        if (!NbdRequestHeader.TryRead(input.Unread, style, out var request))
        {
            throw new IOException("it sent what is no request");
        }

        // An extended WRITE must have the flag, and QEMU's client leaves it away: data follow in any case.
        var hasPayload = request.Command == NbdCommand.Write
            || (style == NbdHeaderStyle.Extended && (request.Flags & NbdCommandFlags.PayloadLength) != 0);
        if (request.Command == NbdCommand.Disconnect)
        {
            isEnding = true;
            return false;
        }

        if (!hasPayload)
        {
            input.Skip(headSize);
            if (connection.IsServerEnding)
            {
                runner.Fail(request, NbdError.Shutdown);
            }
            else
            {
                runner.Run(request, default);
            }

            return true;
        }

        return request.Command == NbdCommand.Write ? BeginWrite(request) : BeginWithPayload(request);
    }

    private bool BeginWrite(in NbdRequestHeader request)
    {
        if (request.Length > (ulong)maxPayload || connection.IsServerEnding)
        {
            Refuse(request, connection.IsServerEnding ? NbdError.Shutdown : NbdError.Invalid);
            return true;
        }

        var length = (int)request.Length;
        if (input.Available - headSize >= length)
        {
            input.Skip(headSize);
            runner.Write(request, input.Take(length), length == 0 ? null : input.Buffer, payload: null);
            expectsLong = length > LongPayload;
            return true;
        }

        if (length <= LongPayload)
        {
            return false;
        }

        input.Skip(headSize);
        ReceiveLong(request, length);
        return true;
    }

    /// <summary>Receives the rest of a long payload where it is written from. Replies that are ready leave first.</summary>
    private void ReceiveLong(in NbdRequestHeader request, int length)
    {
        replies.Send();
        var payload = budget.TryLease(length)?.Rent(length);
        if (payload is null)
        {
            isEnding = !runner.WriteInPieces(request);
            return;
        }

        try
        {
            var here = input.Available;
            input.Take(here).Span.CopyTo(payload.Memory.Span);
            var rest = payload.Memory[here..];
            while (!rest.IsEmpty)
            {
                var count = inFlight.Count == 0 ? channel.Receive(rest.Span) : ReceiveOrDeliver(rest.Span);
                if (count == 0)
                {
                    isEnding = true; // what has not come in whole is not written
                    return;
                }

                rest = rest[Math.Max(0, count)..];
            }

            var whole = payload;
            payload = null;
            runner.Write(request, whole.Memory, input: null, whole);
            expectsLong = true;
        }
        finally
        {
            payload?.Dispose();
        }
    }

    /// <summary>Receives what is there; where nothing is, waits, and sends the replies of what ends meanwhile.</summary>
    /// <returns>As <see cref="SocketChannel.Receive(Span{byte})"/>.</returns>
    private int ReceiveOrDeliver(Span<byte> buffer)
    {
        var count = channel.TryReceive(buffer);
        if (count < 0)
        {
            inFlight.Wait(channel, reads: true, PatienceMilliseconds);
        }

        DeliverEnded();
        replies.Send();
        return count;
    }

    private bool BeginWithPayload(in NbdRequestHeader request)
    {
        const int MostOfStatus = sizeof(ulong) + (1024 * sizeof(uint));
        if (connection.IsServerEnding || request.Command != NbdCommand.BlockStatus || request.Length > MostOfStatus)
        {
            Refuse(request, connection.IsServerEnding ? NbdError.Shutdown : NbdError.Invalid);
            return true;
        }

        if (input.Available - headSize < (int)request.Length)
        {
            return false;
        }

        input.Skip(headSize);
        runner.Run(request, input.Take((int)request.Length).Span);
        return true;
    }

    /// <summary>Answers a request with an error and drops its payload.</summary>
    private void Refuse(in NbdRequestHeader request, NbdError error)
    {
        input.Skip(headSize);
        var isTooLong = request.Length > (ulong)maxPayload
            && (style == NbdHeaderStyle.Extended || request.Length > (ulong)(maxPayload + MostSkipped));
        if (isTooLong)
        {
            throw new IOException($"it sent a request with {request.Length} bytes of payload");
        }

        toSkip = (long)request.Length;
        runner.Fail(request, error);
    }

    /// <summary>Waits for more to do.</summary>
    /// <returns>False if nothing has come for a while, and nothing is in flight.</returns>
    private bool Wait()
    {
        var reads = !isEnding && !inFlight.IsFull;
        if (inFlight.Count > 0)
        {
            var events = inFlight.Wait(channel, reads, PatienceMilliseconds);
            if (!reads || (events & ChannelEvents.Readable) == 0)
            {
                return true;
            }
        }

        // After a long write the next request's head is received alone, so that its payload needs no copying.
        var limit = expectsLong && toSkip == 0 && input.Available < headSize ? headSize - input.Available : int.MaxValue;
        expectsLong = false;
        var count = input.Receive(channel, headSize + LongPayload, BufferSize, limit, connection.Patience);
        isEnding |= count == 0;
        return count >= 0 || inFlight.Count > 0;
    }

    private void Shrink()
    {
        input.Shrink();
        replies.Shrink();
        inFlight.Dispose();
    }
}
