using System.Threading.Tasks.Sources;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// A request and what has come of its reply. It completes once its reply is there AND its last byte is sent, so its buffers are
/// never touched afterwards; whoever waits awaits it, or waits on its thread. Used again by its pool.
/// </summary>
internal sealed class NbdRequest : IValueTaskSource
{
    private const int Sent = 1;
    private const int Replied = 2;

    private readonly RequestPool? home;
    private ManualResetValueTaskSourceCore<bool> core = new() { RunContinuationsAsynchronously = true };
    private readonly object doorbell = new(); // a Lock cannot be waited for
    private BlockException? failure;
    private BlockException? unsent;
    private bool isWaitedFor;
    private volatile bool isOver;
    private NbdConnection? connection;
    private bool isInvited;
    private volatile bool isWaiting;
    private int halves;
    private int contextCount;
    private StatusRest? changed;

    /// <summary>Makes one.</summary>
    /// <param name="home">Where it goes when its result was taken; null for nowhere.</param>
    public NbdRequest(RequestPool? home) => this.home = home;

    /// <summary>What is asked for.</summary>
    public NbdCommand Command { get; private set; }

    /// <summary>How.</summary>
    public NbdCommandFlags Flags { get; private set; }

    /// <summary>First byte.</summary>
    public long Offset { get; private set; }

    /// <summary>Bytes the request is about.</summary>
    public long Length { get; private set; }

    /// <summary>Where a read goes.</summary>
    public Memory<byte> Target { get; private set; }

    /// <summary>What is sent behind the header.</summary>
    public ReadOnlyMemory<byte> Payload { get; private set; }

    /// <summary>Where block status goes.</summary>
    public NbdStatusSink? Sink { get; private set; }

    /// <summary>The number that the reply bears; set by the connection.</summary>
    public ulong Cookie { get; set; }

    /// <summary>How often it was sent.</summary>
    public int Attempts { get; set; }

    /// <summary>When it was handed to a connection.</summary>
    public long Since { get; set; }

    /// <summary>Its first byte may have been given to the socket.</summary>
    public bool IsBegun { get; set; }

    /// <summary>It changes the export, and the server may have heard of it.</summary>
    public bool MayHaveChanged => IsBegun && changed is not null;

    /// <summary>All of it was given to the socket, and its thread waits for it and for nothing else: it can receive.</summary>
    public bool CanDrive => isWaiting && (Volatile.Read(ref halves) & Sent) != 0;

    /// <summary>It has completed, and its thread has not taken the result yet; said of one that a thread waits for.</summary>
    public bool IsOver => isOver;

    /// <summary>Which bytes of a read have come.</summary>
    public ReadCoverage Coverage { get; } = new();

    /// <summary>Which contexts a status has come of: bit i for the i-th.</summary>
    public ulong ContextsSeen { get; set; }

    /// <summary>The contexts that are asked about.</summary>
    public ulong ContextsWanted { get; private set; }

    /// <summary>A chunk of content has come.</summary>
    public bool HasContent { get; set; }

    /// <summary>The first error the server told, or null.</summary>
    public BlockException? Error { get; set; }

    /// <summary>The request is used for something new.</summary>
    public NbdRequest Set(NbdCommand command, NbdCommandFlags flags, long offset, long length)
    {
        Command = command;
        Flags = flags;
        Offset = offset;
        Length = length;
        Target = default;
        Payload = default;
        Sink = null;
        changed = null;
        Attempts = 0;
        IsBegun = isWaitedFor = isOver = isInvited = isWaiting = false;
        connection = null;
        Restart();
        return this;
    }

    /// <summary>The bytes of a read go here.</summary>
    public NbdRequest Into(Memory<byte> target)
    {
        Target = target;
        return this;
    }

    /// <summary>These bytes are sent behind the header.</summary>
    public NbdRequest With(ReadOnlyMemory<byte> payload)
    {
        Payload = payload;
        return this;
    }

    /// <summary>The extents of block status go here.</summary>
    /// <param name="sink">The list.</param>
    /// <param name="contexts">How many contexts there are, 1 to 64.</param>
    public NbdRequest To(NbdStatusSink sink, int contexts)
    {
        Sink = sink;
        contextCount = contexts;
        ContextsWanted = ulong.MaxValue >> (64 - contexts);
        sink.Begin(Offset, contexts);
        return this;
    }

    /// <summary>It changes the export: what is remembered of its extents is worthless from now on, and when it completes.</summary>
    public NbdRequest Changing(StatusRest rest)
    {
        rest.Forget();
        changed = rest;
        return this;
    }

    /// <summary>A thread will <see cref="Wait"/> for it. Said before it is sent.</summary>
    public NbdRequest ForWaiting()
    {
        isWaitedFor = true;
        return this;
    }

    /// <summary>It is sent, or sent again: nothing of a reply has come.</summary>
    public void Restart()
    {
        halves = 0;
        failure = null;
        unsent = null;
        Error = null;
        ContextsSeen = 0;
        HasContent = false;
        Coverage.Reset();
        Sink?.Begin(Offset, contextCount);
    }

    /// <summary>Its last byte was given to the socket, or never will be.</summary>
    /// <param name="failed">Why it will not, or null: then it fails, even if the server claims to have done it.</param>
    public void MarkSent(BlockException? failed)
    {
        unsent = failed;
        Mark(Sent);
    }

    /// <summary>Its reply has come, or it will never come.</summary>
    /// <param name="failed">Why it failed, or null.</param>
    public void MarkReplied(BlockException? failed)
    {
        failure = failed;
        Mark(Replied);
    }

    /// <summary>It fails; nobody sends it or receives for it any more.</summary>
    public void Fail(BlockException failed)
    {
        failure = failed;
        Complete();
    }

    /// <summary>Awaits it, once.</summary>
    public ValueTask AsValueTask() => new(this, core.Version);

    /// <summary>A connection has it, or needs a thread that receives: the thread that waits for it is to drive that connection.</summary>
    public void Invite(NbdConnection by)
    {
        lock (doorbell)
        {
            connection = by;
            isInvited = true;
            Monitor.Pulse(doorbell);
        }
    }

    /// <summary>Sends it on this thread, which waits for something else first, where a connection has it.</summary>
    public void SendAhead()
    {
        NbdConnection? has;
        lock (doorbell)
        {
            has = isInvited ? connection : null;
        }

        has?.SendOwn(this);
    }

    /// <summary>Waits for it on this thread, once, and does there what its connection wants done.</summary>
    public void Wait()
    {
        isWaiting = true;
        while (true)
        {
            NbdConnection drives;
            lock (doorbell)
            {
                while (!isOver && !isInvited)
                {
                    Monitor.Wait(doorbell);
                }

                if (isOver)
                {
                    break;
                }

                isInvited = false;
                drives = connection!;
            }

            drives.Drive(this);
        }

        GetResult(core.Version);
    }

    /// <summary>Writes the header with which it is sent.</summary>
    /// <returns>Its length, at most <see cref="NbdRequestHeader.ExtendedSize"/>.</returns>
    public int WriteHeader(Span<byte> target, NbdHeaderStyle style)
    {
        var sizes = style == NbdHeaderStyle.Extended && !Payload.IsEmpty ? NbdCommandFlags.PayloadLength : 0;
        var length = Payload.IsEmpty ? Length : Payload.Length;
        return new NbdRequestHeader(Flags | sizes, Command, Cookie, (ulong)Offset, (ulong)length).Write(target, style);
    }

    /// <inheritdoc/>
    public void GetResult(short token)
    {
        try
        {
            core.GetResult(token);
        }
        finally
        {
            core.Reset();
            Target = default;
            Payload = default;
            Sink = null;
            home?.Return(this);
        }
    }

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => core.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        core.OnCompleted(continuation, state, token, flags);

    private void Mark(int half)
    {
        if (Interlocked.Or(ref halves, half) is not 0 and var before && before != half)
        {
            Complete();
        }
    }

    private void Complete()
    {
        changed?.Forget();
        if (!isWaitedFor)
        {
            SetOutcome();
            return;
        }

        lock (doorbell)
        {
            SetOutcome();
            isOver = true;
            Monitor.Pulse(doorbell);
        }
    }

    /// <summary>A failure shows in the status too: callers look there whether a task has succeeded.</summary>
    private void SetOutcome()
    {
        if ((failure ?? unsent) is { } failed)
        {
            core.SetException(failed);
        }
        else
        {
            core.SetResult(true);
        }
    }
}
