using System.Collections.Concurrent;
using System.Net.Sockets;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// An NBD server. Exports and listening sockets can come and go at any time; all members may be called from several threads.
/// Linux only.
/// </summary>
/// <remarks>
/// A connection that is busy has a thread of its own, which waits in the kernel; one at rest has none. What a client can make
/// the server hold is bounded by <see cref="NbdServerOptions"/> alone.
/// </remarks>
public sealed class NbdServer : IAsyncDisposable
{
    private const int LocalBufferSize = 1 << 20;

    private static readonly TimeSpan EndingPatience = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentDictionary<long, ServerConnection> connections = new();
    private readonly TaskCompletionSource idleAfterFirst = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConnectionThreads threads;
    private readonly ConnectionWatcher watcher;
    private long lastId;
    private int count;
    private int negotiating;
    private int hadClient;
    private int isDisposed;
    private long nextLook; // only of the watcher's thread
    private volatile bool isEnding;

    /// <summary>Makes a server without exports, which listens nowhere yet.</summary>
    /// <param name="options">What it offers and bears.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number in the options is out of its range.</exception>
    /// <exception cref="IOException">The system has no descriptors left.</exception>
    public NbdServer(NbdServerOptions options)
        : this(options, startThread: null)
    {
    }

    /// <summary>Makes a server whose connections run on threads that somebody else starts.</summary>
    /// <param name="options">What it offers and bears.</param>
    /// <param name="startThread">Starts a thread; null for the system's.</param>
    internal NbdServer(NbdServerOptions options, Action<ThreadStart>? startThread)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Options = options;
        Budget = new MemoryBudget(options.MaxTotalInFlightBytes);
        threads = new ConnectionThreads(startThread);
        watcher = new ConnectionWatcher(this);
    }

    /// <summary>Tells how many connections there are, each time that changes; from any thread.</summary>
    public event Action<int>? ConnectionsChanged;

    /// <summary>What it offers and bears.</summary>
    public NbdServerOptions Options { get; }

    /// <summary>What it shows.</summary>
    public ExportTable Exports { get; } = new();

    /// <summary>How many clients are connected, those in their handshake included.</summary>
    public int ConnectionCount => Volatile.Read(ref count);

    /// <summary>The memory that all clients share.</summary>
    internal MemoryBudget Budget { get; }

    /// <summary>Bounds how many threads look for requests without sleeping.</summary>
    internal ReceivePatience.Lookers Lookers { get; } = new();

    /// <summary>It is being disposed: nothing new begins.</summary>
    internal bool IsEnding => isEnding;

    /// <summary>There may be one connection more.</summary>
    internal bool HasRoom => Options.MaxConnections == 0 || ConnectionCount < Options.MaxConnections;

    /// <summary>A handshake with a limit is not over.</summary>
    internal bool IsNegotiating => Options.HandshakeLimit > TimeSpan.Zero && Volatile.Read(ref negotiating) > 0;

    /// <summary>Accepts clients from a socket.</summary>
    /// <param name="listening">Bound and listening; it is closed when the server is disposed.</param>
    public void Listen(Socket listening)
    {
        ArgumentNullException.ThrowIfNull(listening);
        ObjectDisposedException.ThrowIf(isEnding, this);
        watcher.Add(listening, Interlocked.Increment(ref lastId));
    }

    /// <summary>Serves a client that is connected already, whatever the limit of connections.</summary>
    /// <param name="connected">The connection; it is the server's from now on.</param>
    public void Accept(SocketChannel connected)
    {
        ArgumentNullException.ThrowIfNull(connected);
        if (isEnding)
        {
            connected.Dispose();
            return;
        }

        connected.SetKeepAlive(); // else a client that has vanished would keep its place for good
        if (!connected.SetNoDelay())
        {
            // Not TCP, which finds its sizes itself: a long reply should fit, so that the next one can be read meanwhile.
            connected.SetBufferSizes(LocalBufferSize, LocalBufferSize);
        }

        var connection = new ServerConnection(this, Interlocked.Increment(ref lastId), connected);
        connections[connection.Id] = connection;
        Interlocked.Increment(ref negotiating);
        var now = Interlocked.Increment(ref count);
        ConnectionsChanged?.Invoke(now);
        try
        {
            if (Handshake.Greet(connected) && TryPark(connection))
            {
                watcher.Wake(); // its deadline counts from now on
                return;
            }

            connection.Close(null);
        }
        catch (IOException e)
        {
            connection.Close(e);
        }
    }

    /// <summary>Completes when a client has finished its handshake, and neither it nor any other is connected any more.</summary>
    public Task WhenIdleAfterFirstClient() => idleAfterFirst.Task;

    /// <summary>
    /// Ends the server: it stops to listen, answers what clients have sent, disconnects them, and waits for requests in flight.
    /// Clients that do not read their replies are cut off after half a second.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) != 0)
        {
            return;
        }

        isEnding = true;
        watcher.StopListening();
        while (!connections.IsEmpty)
        {
            var all = connections.Values.ToArray();
            foreach (var connection in all)
            {
                connection.EndSoon();
            }

            var ended = Task.WhenAll(all.Select(connection => connection.Ended));
            await Task.WhenAny(ended, Task.Delay(EndingPatience)).ConfigureAwait(false);
            foreach (var connection in all)
            {
                connection.Kill();
            }

            await ended.ConfigureAwait(false);
        }

        watcher.Dispose();
    }

    /// <summary>A connection waits for its client.</summary>
    /// <returns>False where it should rather go on, to its end.</returns>
    internal bool TryPark(ServerConnection connection)
    {
        if (isEnding)
        {
            return false;
        }

        watcher.Park(connection);
        return true;
    }

    /// <summary>A parked connection's client has said something, or gone.</summary>
    internal void Resume(ServerConnection connection)
    {
        if (isEnding)
        {
            connection.Close(null);
        }
        else
        {
            threads.Start(connection);
        }
    }

    /// <summary>A connection has finished its handshake.</summary>
    internal void Negotiated()
    {
        Interlocked.Decrement(ref negotiating);
        Volatile.Write(ref hadClient, 1);
    }

    /// <summary>A connection has ended.</summary>
    internal void Remove(ServerConnection connection)
    {
        connections.TryRemove(connection.Id, out _);
        if (!connection.HasNegotiated)
        {
            Interlocked.Decrement(ref negotiating);
        }

        var left = Interlocked.Decrement(ref count);
        ConnectionsChanged?.Invoke(left);
        if (left == 0 && Volatile.Read(ref hadClient) != 0)
        {
            idleAfterFirst.TrySetResult();
        }

        if (Options.MaxConnections > 0)
        {
            watcher.Wake();
        }
    }

    /// <summary>Ends the connections whose handshake takes too long.</summary>
    internal void EndLateHandshakes()
    {
        var now = Environment.TickCount64;
        if (!IsNegotiating || now < nextLook)
        {
            return;
        }

        nextLook = now + ConnectionWatcher.TickMilliseconds; // not for every event: it is a walk over all connections
        foreach (var connection in connections.Values)
        {
            if (!connection.HasNegotiated && connection.Deadline <= now)
            {
                connection.Kill();
            }
        }
    }
}
