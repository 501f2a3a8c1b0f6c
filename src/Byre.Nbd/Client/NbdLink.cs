using System.Diagnostics;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// The connections of one user to one export: more of them as requests pile up, new ones for those that are lost. What was
/// sent is sent again: every request does the same when it is done twice. Only where no delay is set (nobody has asked for
/// that) a change that may have reached the server is not: a server that lives may still do it, after what comes later.
/// </summary>
/// <remarks>Lock order: the gate, then a connection's. No request completes and nothing is awaited while the gate is held.</remarks>
internal sealed class NbdLink : IAsyncDisposable
{
    private const int MostAttempts = 8;

    // A server that answers at all has ended a handshake by then.
    private static readonly TimeSpan HandshakeGrace = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly NbdNodeOptions options;
    private readonly NbdClientOptions clientOptions;
    private readonly Lock gate = new();
    private readonly List<NbdConnection> live = [];
    private readonly Queue<NbdRequest> paused = new();
    private readonly CancellationTokenSource closing = new();
    private readonly int most;
    private Task connecting = Task.CompletedTask;
    private Task adding = Task.CompletedTask;
    private BlockException? end;
    private bool mayAdd;
    private bool isDisposed;
    private long lostAt;

    private NbdLink(NbdNodeOptions options, NbdClientOptions clientOptions, NbdSession session)
    {
        this.options = options;
        this.clientOptions = clientOptions;
        Session = session;
        var shared = session.Facts.Has(NbdTransmissionFlags.CanMultiConn)
            || (options.Connections is not null && session.Facts.Has(NbdTransmissionFlags.ReadOnly));
        most = shared ? options.Connections ?? 4 : 1;
        mayAdd = most > 1;
    }

    /// <summary>What was agreed on when the first connection was made; later ones agree with it.</summary>
    public NbdSession Session { get; }

    /// <summary>How many connections there are now.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return live.Count;
            }
        }
    }

    /// <summary>A connection was lost since the link was opened: another server may be behind it now.</summary>
    public bool WasLost { get; private set; }

    /// <summary>Told when a connection is lost; or null.</summary>
    public StatusRest? Forgets { get; set; }

    /// <summary>Connects, again and again as long as the options say.</summary>
    /// <exception cref="BlockException">There is no connection, or the export cannot be used.</exception>
    public static async Task<NbdLink> OpenAsync(NbdNodeOptions options, CancellationToken cancellation)
    {
        List<string> contexts = [options.AllocationContext ?? NbdContextNames.BaseAllocation, .. options.MetaContexts];
        var clientOptions = options.Client with { OptionMode = false, MetaContexts = [.. contexts.Distinct()] };
        var until = Stopwatch.GetTimestamp() + (long)(options.OpenTimeout.TotalSeconds * Stopwatch.Frequency);
        for (var pause = ShortestPause; ; pause = Longer(pause))
        {
            try
            {
                var connector = new NbdConnector(clientOptions, options.Blocking);
                var (stream, handshake) = await connector.ConnectAsync(cancellation).ConfigureAwait(false);
                var session = await connector.EnterAsync(
                    stream, handshake, clientOptions.ExportName, clientOptions.MetaContexts, cancellation).ConfigureAwait(false);
                var link = new NbdLink(options, clientOptions, session);
                await link.AddAsync(new NbdConnection(
                    stream.Channel, session, clientOptions.MaxInFlight, clientOptions.SilenceLimit, options.Blocking, link.Lost)).ConfigureAwait(false);
                return link;
            }
            catch (BlockException e) when (e.Code == ErrorCode.Disconnected && Stopwatch.GetTimestamp() < until)
            {
                await Task.Delay(pause, cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Sends a request over the connection that has least to do. It fails by itself where there is none.</summary>
    public void Submit(NbdRequest request)
    {
        while (true)
        {
            NbdConnection? best = null;
            BlockException? failure;
            lock (gate)
            {
                failure = end;
                best = failure is null ? Choose() : null;
                failure = end;
                if (failure is null && best is null)
                {
                    paused.Enqueue(request);
                    if (connecting.IsCompleted)
                    {
                        // A connection that is ending has not told so yet.
                        lostAt = live.Count > 0 ? Stopwatch.GetTimestamp() : lostAt;
                        connecting = Task.Run(ReconnectAsync);
                    }

                    return;
                }
            }

            if (failure is not null)
            {
                request.Fail(failure);
                return;
            }

            request.Attempts++;
            if (best!.TrySubmit(request))
            {
                return;
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        List<NbdConnection> open;
        Task made;
        lock (gate)
        {
            if (isDisposed)
            {
                return;
            }

            isDisposed = true;
            made = end is null && connecting.IsCompleted ? adding : Task.CompletedTask;
            end ??= NbdFailures.Lost(Session.Server, "it was closed");
            open = [.. live];
        }

        // A further connection that is just being made says good-bye as the others do: dropped within its handshake, it would be
        // a failure to the server, which tells its user of it.
        var leaving = Task.WhenAll(open.Select(connection => connection.DisconnectAsync().AsTask()));
        await made.WaitAsync(HandshakeGrace).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await closing.CancelAsync().ConfigureAwait(false);
        await leaving.ConfigureAwait(false);
        await Task.WhenAll(connecting, adding).ConfigureAwait(false);
        FailPaused(end);
        closing.Dispose();
    }

    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < LongestPause ? pause * 2 : LongestPause;

    /// <summary>The connection that has least to do, or null; a further one is begun where all have something. The caller holds the gate.</summary>
    private NbdConnection? Choose()
    {
        NbdConnection? best = null;
        foreach (var connection in live)
        {
            if (connection.IsEnding)
            {
                end ??= connection.Failure is { Code: ErrorCode.Corrupt } broken ? broken : null;
            }
            else if (best is null || connection.InFlight < best.InFlight)
            {
                best = connection;
            }
        }

        if (mayAdd && best is { InFlight: > 0 } && live.Count < most && adding.IsCompleted)
        {
            adding = Task.Run(AddAsync);
        }

        return best;
    }

    /// <summary>Takes a new connection in, and starts it; one that comes when all is over is closed again.</summary>
    private async ValueTask AddAsync(NbdConnection connection)
    {
        bool isLate;
        lock (gate)
        {
            isLate = end is not null;
            if (!isLate)
            {
                live.Add(connection);
            }

            connection.Start(); // before anybody else sees it
        }

        if (isLate)
        {
            await connection.DisconnectAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Makes one more connection; one that the server does not want is no loss.</summary>
    private async Task AddAsync()
    {
        try
        {
            await AddAsync(await ConnectAsync(closing.Token).ConfigureAwait(false)).ConfigureAwait(false);
        }
        catch (Exception)
        {
            mayAdd = false;
        }
    }

    private async Task<NbdConnection> ConnectAsync(CancellationToken cancellation)
    {
        var connector = new NbdConnector(clientOptions, options.Blocking);
        var (stream, handshake) = await connector.ConnectAsync(cancellation).ConfigureAwait(false);
        var session = await connector.EnterAsync(
            stream, handshake, clientOptions.ExportName, clientOptions.MetaContexts, cancellation).ConfigureAwait(false);
        if (Difference(session) is { } difference)
        {
            stream.Channel.Dispose();
            throw new BlockException(ErrorCode.Invalid, $"The NBD server at '{Session.Server}' has another export under the same name now: {difference}", Session.Server);
        }

        return new NbdConnection(stream.Channel, session, clientOptions.MaxInFlight, clientOptions.SilenceLimit, options.Blocking, Lost);
    }

    /// <summary>What of a new session does not agree with what requests rely on.</summary>
    private string? Difference(NbdSession other)
    {
        const NbdTransmissionFlags used = NbdTransmissionFlags.CanMultiConn | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendTrim
            | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendFastZero | NbdTransmissionFlags.SendResize;
        return other.Size != Session.Size ? $"it has {other.Size} bytes instead of {Session.Size}"
            : other.Facts.Has(NbdTransmissionFlags.ReadOnly) && !Session.Facts.Has(NbdTransmissionFlags.ReadOnly) ? "it is read-only"
            : (Session.Facts.Flags & used & ~other.Facts.Flags) != 0 ? "it can do less"
            : other.Style < Session.Style ? "its replies have another form"
            : other.MinimumBlock > Session.MinimumBlock || other.MaxPayload < Session.MaxPayload ? "it wants requests of other sizes"
            : !other.Contexts.Select(context => context.Name).SequenceEqual(Session.Contexts.Select(context => context.Name)) ? "it has other metadata contexts"
            : null;
    }

    /// <summary>There is no connection: makes one, for the requests that wait.</summary>
    private async Task ReconnectAsync()
    {
        // Past the delay, which began when the last connection was lost, each request tries once.
        var left = options.ReconnectDelay - Stopwatch.GetElapsedTime(Volatile.Read(ref lostAt));
        var until = Stopwatch.GetTimestamp() + (long)(left.TotalSeconds * Stopwatch.Frequency);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(closing.Token);
        if (left > TimeSpan.Zero)
        {
            limit.CancelAfter(left);
        }

        BlockException? failure = null;
        for (var pause = ShortestPause; ; pause = Longer(pause))
        {
            try
            {
                await AddAsync(await ConnectAsync(limit.Token).ConfigureAwait(false)).ConfigureAwait(false);
                Resume();
                return;
            }
            catch (BlockException e)
            {
                failure = e;
                if (e.Code == ErrorCode.Disconnected && Stopwatch.GetTimestamp() < until && !limit.IsCancellationRequested)
                {
                    await Task.Delay(pause, limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    continue;
                }
            }
            catch (OperationCanceledException)
            {
                failure ??= NbdFailures.NotConnected(Session.Server, "the server does not answer in time");
            }
            catch (Exception e)
            {
                failure = NbdFailures.NotConnected(Session.Server, e.Message, e);
            }

            break;
        }

        FailPaused(failure, ends: true); // who comes from now on begins anew
    }

    private void Resume()
    {
        List<NbdRequest> resumed;
        lock (gate)
        {
            resumed = [.. paused];
            paused.Clear();
            connecting = Task.CompletedTask; // whoever loses the new connection begins anew
        }

        resumed.ForEach(Submit);
    }

    private void FailPaused(BlockException failure, bool ends = false)
    {
        List<NbdRequest> failed;
        lock (gate)
        {
            failed = [.. paused];
            paused.Clear();
            connecting = ends ? Task.CompletedTask : connecting;
        }

        foreach (var request in failed)
        {
            request.Fail(failure);
        }
    }

    /// <summary>A connection has ended: its requests are sent again where that may help.</summary>
    private void Lost(NbdConnection connection, BlockException cause, List<NbdRequest> requests)
    {
        bool again;
        lock (gate)
        {
            live.Remove(connection);
            WasLost = true;
            lostAt = live.Count == 0 ? Stopwatch.GetTimestamp() : lostAt;
            if (cause.Code == ErrorCode.Corrupt)
            {
                // Nothing such a server says can be trusted, on any connection.
                end ??= cause;
            }

            again = end is null && (options.ReconnectDelay > TimeSpan.Zero || live.Exists(other => !other.IsEnding));
            if (end is not null)
            {
                live.ForEach(other => other.End(cause));
            }
        }

        Forgets?.Forget();
        foreach (var request in requests)
        {
            if (again && request.Attempts < MostAttempts && (options.ReconnectDelay > TimeSpan.Zero || !request.MayHaveChanged))
            {
                request.Restart();
                Submit(request);
            }
            else
            {
                request.Fail(cause);
            }
        }

        if (end is { } ended)
        {
            FailPaused(ended);
        }
    }
}
