using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// One client. At any time one thread runs it, or it is parked: then it holds its socket and a few hundred bytes, and the
/// server's watcher starts it again when the client sends something.
/// </summary>
/// <remarks>Lock order: <c>gate</c> is a leaf; it guards who the channel is while it changes.</remarks>
internal sealed class ServerConnection : IDisposable
{
    private readonly Lock gate = new();
    private readonly NbdServer server;
    private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SocketChannel channel;
    private Handshake? handshake;
    private Transmission? transmission;
    private NbdExport? export;
    private bool isKilled;

    /// <summary>Makes one; the channel is its own from now on.</summary>
    public ServerConnection(NbdServer server, long id, SocketChannel channel)
    {
        this.server = server;
        this.channel = channel;
        Patience = new ReceivePatience(server.Lookers);
        Id = id;
        Deadline = server.Options.HandshakeLimit > TimeSpan.Zero
            ? Environment.TickCount64 + (long)server.Options.HandshakeLimit.TotalMilliseconds
            : long.MaxValue;
        handshake = new Handshake(this);
    }

    /// <summary>Its number, which no other connection of the server gets.</summary>
    public long Id { get; }

    /// <summary>When the handshake must be over, in milliseconds of <see cref="Environment.TickCount64"/>.</summary>
    public long Deadline { get; }

    /// <summary>The handshake is over, so the deadline means nothing any more.</summary>
    public bool HasNegotiated { get; private set; }

    /// <summary>The server's options.</summary>
    public NbdServerOptions Options => server.Options;

    /// <summary>The memory of all of the server's clients.</summary>
    public MemoryBudget Budget => server.Budget;

    /// <summary>How its thread waits for what comes next.</summary>
    public ReceivePatience Patience { get; }

    /// <summary>The server's exports.</summary>
    public ExportTable Exports => server.Exports;

    /// <summary>The server answers what comes, but begins nothing.</summary>
    public bool IsServerEnding => server.IsEnding;

    /// <summary>The plain bytes, to and from the client.</summary>
    public SocketChannel Channel => channel;

    /// <summary>What has been received.</summary>
    public ReceiveBuffer Input { get; } = new();

    /// <summary>The name that the client has shown in TLS, or null.</summary>
    public string? PeerName { get; private set; }

    /// <summary>Completes when nothing of it is left.</summary>
    public Task Ended => ended.Task;

    /// <summary>Runs it until it is parked or at its end.</summary>
    public void Run()
    {
        try
        {
            while (true)
            {
                switch (transmission is not null ? transmission.Run() : handshake!.Run())
                {
                    case ConnectionStep.Park:
                        if (server.TryPark(this))
                        {
                            return;
                        }

                        continue;
                    case ConnectionStep.Transmit:
                        transmission = new Transmission(this, handshake!.State, export!);
                        handshake = null;
                        HasNegotiated = true;
                        server.Negotiated();
                        continue;
                    default:
                        Close(null);
                        return;
                }
            }
        }
        catch (Exception e)
        {
            Close(e);
        }
    }

    /// <summary>It starts to use an export.</summary>
    /// <returns>False where the export has been removed.</returns>
    public bool TryAttach(NbdExport chosen)
    {
        if (!chosen.TryAttach(this))
        {
            return false;
        }

        export = chosen;
        return true;
    }

    /// <summary>Runs the TLS handshake; what comes from now on came through TLS.</summary>
    /// <exception cref="IOException">It failed, or took too long.</exception>
    public void Secure(IServerSecurity security)
    {
        using var limit = new CancellationTokenSource();
        if (Deadline != long.MaxValue)
        {
            limit.CancelAfter(TimeSpan.FromMilliseconds(Math.Max(1, Deadline - Environment.TickCount64)));
        }

        try
        {
            var secured = security.AcceptAsync(channel, limit.Token).AsTask().GetAwaiter().GetResult();
            PeerName = secured.PeerName;
            lock (gate)
            {
                channel = secured.Channel;
                if (isKilled)
                {
                    channel.Shutdown();
                }
            }
        }
        catch (OperationCanceledException e)
        {
            throw new IOException("its TLS handshake was given up", e);
        }
    }

    /// <summary>The server ends: what has come is answered, and then the connection ends.</summary>
    public void EndSoon()
    {
        lock (gate)
        {
            channel.ShutdownReceive();
        }

        transmission?.Cut();
    }

    /// <summary>Ends the connection at once; requests in flight end, without a reply.</summary>
    public void Kill()
    {
        lock (gate)
        {
            isKilled = true;
            channel.Shutdown();
        }

        transmission?.Cut();
    }

    /// <summary>Ends it. Called by the thread that runs it, or for one that is parked.</summary>
    /// <param name="failure">Why, where it is not the client's wish.</param>
    public void Close(Exception? failure)
    {
        if (failure is not null && !IsServerEnding && !isKilled)
        {
            Options.Log?.Invoke($"client {Id}: {failure.Message}");
        }

        channel.Shutdown(); // before the wait for requests in flight: the client learns of it now
        Dispose();
        export?.Detach(this);
        server.Remove(this);
        ended.TrySetResult();
    }

    /// <summary>Waits for the requests in flight, and gives everything back.</summary>
    public void Dispose()
    {
        transmission?.Dispose();
        Input.Release();
        channel.Dispose();
    }
}
