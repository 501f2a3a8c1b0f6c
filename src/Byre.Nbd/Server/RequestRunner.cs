using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>
/// Checks the requests of one connection, runs them through the export's edge, and makes their replies (section "Request
/// types"). What completes at once is answered at once. Only the connection's thread uses it.
/// </summary>
internal sealed class RequestRunner
{
    /// <summary>Reads up to this length are made in the reply buffer, others in a buffer of their own.</summary>
    private const int LongRead = 64 << 10;

    private readonly NbdExport export;
    private readonly BlockEdge edge;
    private readonly NbdHeaderStyle style;
    private readonly ReplyQueue replies;
    private readonly InFlightRequests inFlight;
    private readonly MemoryBudget budget;
    private readonly PiecewiseTransfers pieces;
    private readonly RequestFailures failures;
    private readonly RangeCommands commands;
    private readonly StatusRunner? status;
    private readonly SparseReads? sparse;
    private readonly int maxPayload;
    private readonly int readHead;

    /// <summary>Makes one for a connection that has chosen an export.</summary>
    /// <param name="export">The export.</param>
    /// <param name="style">The form of requests and replies.</param>
    /// <param name="status">Answers BLOCK_STATUS; null where the client has selected no metadata context.</param>
    /// <param name="replies">Where replies go.</param>
    /// <param name="inFlight">Where requests go that do not end at once.</param>
    /// <param name="budget">The memory of all clients.</param>
    /// <param name="pieces">Takes long transfers where that is used up.</param>
    /// <param name="failures">What failures mean.</param>
    /// <param name="maxPayload">The longest payload, in bytes.</param>
    public RequestRunner(
        NbdExport export,
        NbdHeaderStyle style,
        StatusRunner? status,
        ReplyQueue replies,
        InFlightRequests inFlight,
        MemoryBudget budget,
        PiecewiseTransfers pieces,
        RequestFailures failures,
        int maxPayload)
    {
        this.export = export;
        this.style = style;
        this.status = status;
        this.replies = replies;
        this.inFlight = inFlight;
        this.budget = budget;
        this.pieces = pieces;
        this.failures = failures;
        this.maxPayload = maxPayload;
        edge = export.Edge;
        commands = new RangeCommands(export, inFlight);
        readHead = ReplyFrames.ReadHeadSize(style);
        sparse = style == NbdHeaderStyle.Simple ? null : new SparseReads(export, style);
    }

    /// <summary>Answers a request that has failed before it began.</summary>
    public void Fail(in NbdRequestHeader request, NbdError error)
    {
        var memory = replies.Reserve(ReplyFrames.MaxError);
        replies.Commit(ReplyFrames.WriteError(memory.Span, style, request, error, RequestFailures.Describe(error)));
    }

    /// <summary>Runs a WRITE. The payload's buffer is let go of when it has ended.</summary>
    /// <param name="request">The request; its length is that of the payload.</param>
    /// <param name="data">The payload.</param>
    /// <param name="input">The buffer it lies in, which is retained for as long as needed; or null.</param>
    /// <param name="payload">The buffer of its own that it lies in, which is taken over; or null.</param>
    public void Write(in NbdRequestHeader request, ReadOnlyMemory<byte> data, SharedBuffer? input, System.Buffers.IMemoryOwner<byte>? payload)
    {
        var error = CheckChange(request, request.Length, NbdCommandFlags.Fua | PayloadFlag);
        if (error != NbdError.None || data.IsEmpty)
        {
            payload?.Dispose();
            Answer(request, error);
            return;
        }

        var operation = edge.WriteAsync(
            export.Offset + (long)request.Offset,
            data,
            export.IsWriteThrough || (request.Flags & NbdCommandFlags.Fua) != 0 ? WriteFlags.Fua : WriteFlags.None);
        if (operation.IsCompleted)
        {
            payload?.Dispose();
            Answer(request, ErrorOf(operation, request));
            return;
        }

        input?.Retain();
        inFlight.Add(
            new PendingRequest
            {
                Header = request,
                Held = input?.Memory.Length ?? data.Length,
                Counted = input is null ? 0 : data.Length,
                Input = input,
                Payload = payload,
            },
            operation);
    }

    /// <summary>Runs a WRITE whose payload is received and written in pieces.</summary>
    /// <param name="request">The request.</param>
    /// <returns>False where the client has gone before the payload was there.</returns>
    public bool WriteInPieces(in NbdRequestHeader request)
    {
        if (!pieces.Write(request, CheckChange(request, request.Length, NbdCommandFlags.Fua | PayloadFlag), out var error))
        {
            return false;
        }

        Answer(request, error);
        return true;
    }

    /// <summary>Runs any other request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="payload">What followed it: BLOCK_STATUS with a payload only.</param>
    public void Run(in NbdRequestHeader request, ReadOnlySpan<byte> payload)
    {
        switch (request.Command)
        {
            case NbdCommand.Read:
                Read(request);
                break;
            case NbdCommand.Flush:
                Start(request, request is { Offset: 0, Length: 0 } ? CheckFlags(request, NbdCommandFlags.Fua) : NbdError.Invalid);
                break;
            case NbdCommand.Trim:
                Start(request, CheckChange(request, request.Length, NbdCommandFlags.Fua));
                break;
            case NbdCommand.WriteZeroes:
                Start(request, CheckChange(
                    request, request.Length, NbdCommandFlags.Fua | NbdCommandFlags.NoHole | NbdCommandFlags.FastZero));
                break;
            case NbdCommand.Cache:
                var error = CheckFlags(request, NbdCommandFlags.Fua);
                Start(request, error != NbdError.None ? error : IsInside(request.Offset, request.Length) ? NbdError.None : NbdError.Invalid);
                break;
            case NbdCommand.Resize:
                Start(request, CheckResize(request));
                break;
            case NbdCommand.BlockStatus:
                BlockStatus(request, payload);
                break;
            default:
                Fail(request, NbdError.Invalid);
                break;
        }
    }

    /// <summary>Makes the reply of a request that has ended.</summary>
    public void Deliver(PendingRequest request)
    {
        try
        {
            if (request.Error == NbdError.None)
            {
                DeliverSuccess(request);
            }
            else
            {
                Fail(request.Header, request.Error);
            }
        }
        finally
        {
            request.Release(); // also where the connection has failed: what the queue has not taken goes back
        }
    }

    private void DeliverSuccess(PendingRequest request)
    {
        if (request.Pinned is { } pinned)
        {
            ReplyFrames.WriteReadHead(pinned.Memory.Span[request.PinnedStart..], style, request.Header);
            replies.AddPinned(pinned, request.PinnedStart, readHead + (int)request.Header.Length);
            request.Pinned = null;
        }
        else if (request.ChunkBytes > 0)
        {
            replies.AddOwned(request.Payload!.Memory[..request.ChunkBytes], request.Payload);
            request.Payload = null;
        }
        else if (request.Header.Command == NbdCommand.Read)
        {
            ReplyFrames.WriteReadHead(replies.Reserve(readHead).Span, style, request.Header);
            replies.Commit(readHead);
            replies.AddOwned(request.Payload!.Memory, request.Payload);
            request.Payload = null;
        }
        else
        {
            Answer(request.Header, NbdError.None);
        }
    }

    private NbdCommandFlags PayloadFlag => style == NbdHeaderStyle.Extended ? NbdCommandFlags.PayloadLength : 0;

    private void Read(in NbdRequestHeader request)
    {
        var error = CheckFlags(request, NbdCommandFlags.Fua | (style == NbdHeaderStyle.Simple ? 0 : NbdCommandFlags.DontFragment));
        error = error != NbdError.None || IsInside(request.Offset, request.Length) ? error : NbdError.Invalid;
        if (error == NbdError.None && request.Length > (ulong)maxPayload)
        {
            error = style == NbdHeaderStyle.Simple ? NbdError.Invalid : NbdError.Overflow;
        }

        if (error != NbdError.None || request.Length == 0)
        {
            Answer(request, error);
        }
        else if (request.Length <= LongRead)
        {
            ReadShort(request, (int)request.Length);
        }
        else
        {
            ReadLong(request, (int)request.Length);
        }
    }

    private void ReadShort(in NbdRequestHeader request, int length)
    {
        var memory = replies.Reserve(readHead + length);
        var operation = edge.ReadAsync(export.Offset + (long)request.Offset, memory[readHead..]);
        if (!operation.IsCompleted)
        {
            var (buffer, start) = replies.Pin(readHead + length);
            inFlight.Add(
                new PendingRequest { Header = request, Held = readHead + length, Counted = length, Pinned = buffer, PinnedStart = start }, operation);
            return;
        }

        var error = ErrorOf(operation, request);
        if (error != NbdError.None)
        {
            Fail(request, error);
            return;
        }

        ReplyFrames.WriteReadHead(memory.Span, style, request);
        replies.Commit(readHead + length);
    }

    private void ReadLong(in NbdRequestHeader request, int length)
    {
        if (budget.TryLease(length) is not { } lease)
        {
            pieces.Read(request);
            return;
        }

        var pending = new PendingRequest { Header = request, Held = length, Payload = lease };
        if (sparse is not null && (request.Flags & NbdCommandFlags.DontFragment) == 0 && !sparse.IsKnownData(request))
        {
            Begin(pending, sparse.ReadAsync(pending));
            return;
        }

        Begin(pending, edge.ReadAsync(export.Offset + (long)request.Offset, pending.Rent(length).Memory));
    }

    private void BlockStatus(in NbdRequestHeader request, ReadOnlySpan<byte> payload)
    {
        var error = CheckFlags(
            request, NbdCommandFlags.Fua | NbdCommandFlags.RequestOne | (status is null ? 0 : PayloadFlag));
        StatusQuestion? question = null;
        if (error == NbdError.None)
        {
            question = status?.Ask(request, payload);
            error = question is not null && IsInside(request.Offset, (ulong)question.Length) ? NbdError.None : NbdError.Invalid;
        }

        if (error != NbdError.None)
        {
            status?.Return(question);
            Fail(request, error);
            return;
        }

        const long Held = StatusRunner.MostHeld;
        var pending = new PendingRequest { Header = request, Held = Held, Counted = Held, IsFrugal = budget.IsExhausted };
        Begin(pending, status!.AnswerAsync(question!, pending));
    }

    private void Start(in NbdRequestHeader request, NbdError error)
    {
        if (error != NbdError.None || (request.Length == 0 && request.Command is not (NbdCommand.Flush or NbdCommand.Resize)))
        {
            Answer(request, error);
            return;
        }

        var held = request.Command == NbdCommand.Cache ? RangeCommands.CachePiece : 0;
        Begin(new PendingRequest { Header = request, Held = held, Counted = held }, commands.RunAsync(request));
    }

    private void Begin(PendingRequest request, ValueTask operation)
    {
        if (!operation.IsCompleted)
        {
            inFlight.Add(request, operation);
            return;
        }

        request.Error = ErrorOf(operation, request.Header);
        Deliver(request);
    }

    private void Answer(in NbdRequestHeader request, NbdError error)
    {
        if (error != NbdError.None)
        {
            Fail(request, error);
            return;
        }

        // Without data a READ of nothing looks as every other success.
        var memory = replies.Reserve(NbdReplyHeader.ExtendedSize);
        replies.Commit(ReplyFrames.WriteSuccess(memory.Span, style, request));
    }

    private NbdError ErrorOf(ValueTask ended, in NbdRequestHeader request)
    {
        if (ended.IsCompletedSuccessfully)
        {
            ended.GetAwaiter().GetResult();
            return NbdError.None;
        }

        try
        {
            ended.GetAwaiter().GetResult();
            return NbdError.None;
        }
        catch (Exception e)
        {
            return failures.Explain(e, request);
        }
    }

    private bool IsInside(ulong offset, ulong length)
    {
        var size = (ulong)export.Size;
        return offset <= size && length <= size - offset;
    }

    private static NbdError CheckFlags(in NbdRequestHeader request, NbdCommandFlags known) =>
        (request.Flags & ~known) == 0 ? NbdError.None : NbdError.Invalid;

    private NbdError CheckChange(in NbdRequestHeader request, ulong length, NbdCommandFlags known)
    {
        if (export.IsReadOnly)
        {
            return NbdError.NotPermitted;
        }

        if ((request.Flags & ~known) != 0)
        {
            return NbdError.Invalid;
        }

        return IsInside(request.Offset, length) ? NbdError.None
            : request.Command == NbdCommand.Trim ? NbdError.Invalid : NbdError.NoSpace;
    }

    private NbdError CheckResize(in NbdRequestHeader request)
    {
        // The offset is the new length; the length means nothing, and clients send 0.
        var error = CheckFlags(request, NbdCommandFlags.Fua);
        return error != NbdError.None ? error
            : !export.CanResize ? NbdError.NotPermitted
            : request.Length != 0 || request.Offset > long.MaxValue ? NbdError.Invalid : NbdError.None;
    }
}
