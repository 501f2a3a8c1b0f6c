using System.Diagnostics;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// One connection in its transmission phase. Any thread hands requests over; replies are received as they come, in any order,
/// by a thread of the connection's own or by the callers that wait for them (<see cref="Drive"/>). When the connection ends,
/// for whatever reason, the requests without a reply are handed back.
/// </summary>
/// <remarks>
/// Of callers that wait one receives, for all of them, until it has its own reply; then the one that has waited longest goes
/// on. Each sends its own request: a thread hop less for either way, and what is received is used by the processor that
/// received it. Lock order: the gate, then a request's; no request completes while the gate is held.
/// </remarks>
#pragma warning disable CA1001 // whoever receives disposes the sender when the connection ends
internal sealed class NbdConnection
#pragma warning restore CA1001
{
    private const int SlotBits = 8;
    private const int LongRead = 16 << 10;

    private readonly SocketChannel channel;
    private readonly NbdSession session;
    private readonly Action<NbdConnection, BlockException, List<NbdRequest>> lost;
    private readonly TimeSpan silenceLimit;
    private readonly Lock gate = new();
    private readonly NbdRequest?[] slots;
    private readonly int[] freeSlots;
    private readonly Queue<NbdRequest> waiting = new();
    private readonly IRequestSender sender;
    private readonly ReplyStream stream;
    private readonly ReplyParser parser;
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly bool callersDrive;
    private BlockException? failure;
    private ulong sequence;
    private int free;
    private int longReads;
    private bool isEnding;
    private bool isReceiving;

    /// <summary>Takes a connection over, after its handshake.</summary>
    /// <param name="channel">The socket.</param>
    /// <param name="session">What was agreed on.</param>
    /// <param name="maxInFlight">The most requests sent and not answered, 1 to 256.</param>
    /// <param name="silenceLimit">How long the server may be silent while it owes replies; zero for ever.</param>
    /// <param name="callersDrive">Callers wait for their requests, and send and receive themselves.</param>
    /// <param name="lost">Called once, at the end, with why it ended and the requests that have no reply.</param>
    public NbdConnection(
        SocketChannel channel,
        NbdSession session,
        int maxInFlight,
        TimeSpan silenceLimit,
        bool callersDrive,
        Action<NbdConnection, BlockException, List<NbdRequest>> lost)
    {
        this.channel = channel;
        this.session = session;
        this.lost = lost;
        this.silenceLimit = silenceLimit;
        this.callersDrive = callersDrive;
        slots = new NbdRequest?[Math.Clamp(maxInFlight, 1, 1 << SlotBits)];
        freeSlots = new int[slots.Length];
        for (free = 0; free < slots.Length; free++)
        {
            freeSlots[free] = slots.Length - 1 - free;
        }

        channel.SetSendTimeout(silenceLimit);
        channel.SetReceiveTimeout(silenceLimit);
        sender = callersDrive ? new TurnSender(channel, session, End) : new RequestSender(channel, session, End);
        stream = new ReplyStream(channel, session.Server);
        parser = new ReplyParser(stream, session);
    }

    /// <summary>What was agreed on.</summary>
    public NbdSession Session => session;

    /// <summary>Requests without a reply.</summary>
    public int InFlight => slots.Length - Volatile.Read(ref free);

    /// <summary>Nothing can be sent any more.</summary>
    public bool IsEnding => Volatile.Read(ref isEnding);

    /// <summary>Why it has ended, or null.</summary>
    public BlockException? Failure
    {
        get
        {
            lock (gate)
            {
                return failure;
            }
        }
    }

    /// <summary>Begins to receive, where callers do not.</summary>
    public void Start()
    {
        if (!callersDrive)
        {
            isReceiving = true;
            new Thread(() => Receive(null), 256 << 10) { IsBackground = true, Name = "nbd client" }.Start();
        }
    }

    /// <summary>Sends a request, now or when others have been answered; where callers drive, they do it.</summary>
    /// <returns>False where the connection has ended: the request is the caller's.</returns>
    public bool TrySubmit(NbdRequest request)
    {
        lock (gate)
        {
            if (isEnding)
            {
                return false;
            }

            if (free == 0)
            {
                waiting.Enqueue(request);
                return true;
            }

            Enter(request);
        }

        if (!callersDrive)
        {
            sender.Send(request);
        }

        return true;
    }

    /// <summary>Sends a request of the calling thread's, unless that is done.</summary>
    public void SendOwn(NbdRequest request)
    {
        if (!request.IsBegun)
        {
            sender.Send(request);
        }
    }

    /// <summary>
    /// Brings a request of the calling thread's on: sends it, and receives for everybody until it is over, unless another
    /// thread does that already.
    /// </summary>
    /// <param name="request">A request that has been given to this connection; it may be over, or gone, by now.</param>
    public void Drive(NbdRequest request)
    {
        SendOwn(request);
        lock (gate)
        {
            if (isReceiving)
            {
                return;
            }

            isReceiving = true;
        }

        Receive(request);
    }

    /// <summary>Says good-bye and ends the connection; requests in flight are handed back.</summary>
    public async ValueTask DisconnectAsync()
    {
        if (!IsEnding)
        {
            sender.SendGoodbye();
        }

        End(NbdFailures.Lost(session.Server, "it was closed"));
        bool isMine;
        lock (gate)
        {
            isMine = !isReceiving;
            isReceiving = true;
        }

        if (isMine)
        {
            Cleanup();
        }

        await ended.Task.ConfigureAwait(false);
    }

    /// <summary>Ends the connection.</summary>
    /// <param name="cause">Why; the first one counts.</param>
    public void End(BlockException cause)
    {
        lock (gate)
        {
            failure ??= cause;
            isEnding = true;
        }

        channel.Shutdown();
    }

    /// <summary>Gives a request a slot and a cookie; the caller holds the gate.</summary>
    private void Enter(NbdRequest request)
    {
        var slot = freeSlots[--free];
        slots[slot] = request;
        request.IsBegun = false;
        request.Cookie = (++sequence << SlotBits) | (uint)slot;
        request.Since = Stopwatch.GetTimestamp();
        longReads += IsLong(request) ? 1 : 0;
        if (callersDrive)
        {
            request.Invite(this);
        }
    }

    private static bool IsLong(NbdRequest request) => request.Command == NbdCommand.Read && request.Length >= LongRead;

    /// <summary>Receives until the connection ends, or until a request is over: then another thread goes on.</summary>
    private void Receive(NbdRequest? mine)
    {
        try
        {
            while (mine is not { IsOver: true })
            {
                stream.ExpectsMuch = Volatile.Read(ref longReads) > 0;
                if (parser.ReadHeader() is { } header)
                {
                    var request = Find(header.Cookie);
                    if (parser.ReadBody(header, request))
                    {
                        Finish(request);
                    }
                }
                else
                {
                    CheckSilence();
                }
            }

            PassOn();
            return;
        }
        catch (BlockException e)
        {
            End(e);
        }
        catch (Exception e)
        {
            End(NbdFailures.Lost(session.Server, e.Message, e));
        }

        Cleanup();
    }

    /// <summary>
    /// The thread of the oldest request that was sent receives from now on, if it waits for that request; without one, the first
    /// that has sent and waits. One that is still sending may have to wait for a server that wants to be heard first, and one
    /// that waits for another connection for whoever is to receive there.
    /// </summary>
    private void PassOn()
    {
        lock (gate)
        {
            isReceiving = false;
            NbdRequest? oldest = null;
            foreach (var request in slots)
            {
                oldest = request is { CanDrive: true } && (oldest is null || request.Cookie < oldest.Cookie) ? request : oldest;
            }

            oldest?.Invite(this);
        }
    }

    private NbdRequest Find(ulong cookie)
    {
        var slot = (int)(cookie & ((1 << SlotBits) - 1));
        lock (gate)
        {
            return slot < slots.Length && slots[slot] is { IsBegun: true } request && request.Cookie == cookie
                ? request
                : throw NbdFailures.Broken(session.Server, $"it replies to a request {cookie} that was not sent, or has its reply");
        }
    }

    private void Finish(NbdRequest request)
    {
        NbdRequest? next;
        lock (gate)
        {
            var slot = (int)(request.Cookie & ((1 << SlotBits) - 1));
            slots[slot] = null;
            freeSlots[free++] = slot;
            longReads -= IsLong(request) ? 1 : 0;
            if (!isEnding && waiting.TryDequeue(out next))
            {
                Enter(next);
            }
            else
            {
                next = null;
            }
        }

        request.MarkReplied(request.Error);
        if (next is not null && !callersDrive)
        {
            sender.Send(next);
        }
    }

    /// <summary>The time limit of the channel is over: is there a request that has waited so long?</summary>
    private void CheckSilence()
    {
        lock (gate)
        {
            foreach (var request in slots)
            {
                if (request is not null && Stopwatch.GetElapsedTime(request.Since) >= silenceLimit)
                {
                    throw NbdFailures.Lost(session.Server, $"the server has not answered for {silenceLimit.TotalSeconds:0.#} seconds");
                }
            }
        }
    }

    /// <summary>Hands back what has no reply, once nobody sends any more. Done once, by who receives; nobody does afterwards.</summary>
    private void Cleanup()
    {
        sender.Dispose();
        var left = new List<NbdRequest>();
        lock (gate)
        {
            foreach (var request in slots)
            {
                if (request is not null)
                {
                    left.Add(request);
                }
            }

            left.AddRange(waiting);
            waiting.Clear();
            Array.Clear(slots);
        }

        channel.Dispose();
        left.Sort((a, b) => a.Since.CompareTo(b.Since));
        lost(this, failure!, left);
        ended.SetResult();
    }
}
