using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// One thread that waits for everything at rest: listening sockets, and connections whose clients say nothing. It starts what
/// wakes up, and ends handshakes that take too long.
/// </summary>
/// <remarks>Lock order: <c>gate</c> guards the listening sockets and is a leaf.</remarks>
internal sealed unsafe class ConnectionWatcher : IDisposable
{
    /// <summary>How often handshakes that take too long are looked for.</summary>
    public const int TickMilliseconds = 100;

    private const int Events = 64;
    private const long WakeId = 0;

    private readonly Lock gate = new();
    private readonly NbdServer server;
    private readonly ConcurrentDictionary<long, ServerConnection> parked = new();
    private readonly Dictionary<long, Socket> listening = [];
    private readonly ChannelHandle epoll;
    private readonly WakeEvent wake = new();
    private readonly Thread thread;
    private bool isAccepting = true;
    private bool isShort;
    private bool isStopped;

    /// <summary>Starts the thread.</summary>
    /// <exception cref="IOException">The system has no descriptors left.</exception>
    public ConnectionWatcher(NbdServer server)
    {
        this.server = server;
        var descriptor = EpollCalls.Create(EpollCalls.CloseOnExec);
        epoll = descriptor >= 0 ? new ChannelHandle(descriptor) : throw SocketChannel.Failure("epoll_create1", Marshal.GetLastPInvokeError());
        Register(wake.Handle, WakeId, isOnce: false);
        thread = new Thread(Work, 512 << 10) { IsBackground = true, Name = "nbd watcher" };
        thread.Start();
    }

    /// <summary>Accepts clients from a socket, which is closed when the watcher stops.</summary>
    /// <param name="socket">Listening.</param>
    /// <param name="id">A number that no connection has.</param>
    public void Add(Socket socket, long id)
    {
        socket.Blocking = false;
        lock (gate)
        {
            if (isStopped)
            {
                socket.Dispose();
                return;
            }

            listening.Add(id, socket);
            if (isAccepting)
            {
                Control(EpollCalls.Add, socket, id);
            }
        }
    }

    /// <summary>Runs a connection again once its client says something. The caller has nothing to do with it any more.</summary>
    /// <exception cref="IOException">The system is out of memory; the connection is still the caller's.</exception>
    public void Park(ServerConnection connection)
    {
        parked[connection.Id] = connection;
        try
        {
            Register(connection.Channel.Handle, connection.Id, isOnce: true);
        }
        catch
        {
            parked.TryRemove(connection.Id, out _);
            throw;
        }
    }

    /// <summary>There is room for connections again, or the time for the next look has changed.</summary>
    public void Wake() => wake.Set();

    /// <summary>Accepts no more clients; their sockets are closed.</summary>
    public void StopListening()
    {
        lock (gate)
        {
            isAccepting = false;
            foreach (var socket in listening.Values)
            {
                socket.Dispose();
            }

            listening.Clear();
        }
    }

    /// <summary>Ends the thread. No connection may be parked any more.</summary>
    public void Dispose()
    {
        StopListening();
        Volatile.Write(ref isStopped, true);
        wake.Set();
        thread.Join();
        wake.Dispose();
        epoll.Dispose();
    }

    private void Work()
    {
        var events = stackalloc byte[Events * 16];
        while (!Volatile.Read(ref isStopped))
        {
            var count = EpollCalls.Wait(epoll, events, Events, server.IsNegotiating ? TickMilliseconds : -1);
            for (var i = 0; i < count; i++)
            {
                var data = new ReadOnlySpan<byte>(events + (i * EpollCalls.EventSize) + EpollCalls.DataOffset, sizeof(long));
                Handle(BitConverter.ToInt64(data));
            }

            SetAccepting();
            server.EndLateHandshakes();
        }
    }

    private void Handle(long id)
    {
        if (id == WakeId)
        {
            wake.Reset();
        }
        else if (parked.TryRemove(id, out var connection))
        {
            server.Resume(connection);
        }
        else
        {
            Accept(id);
        }
    }

    private void Accept(long id)
    {
        Socket? socket;
        lock (gate)
        {
            socket = listening.GetValueOrDefault(id);
        }

        try
        {
            if (socket is not null && server.HasRoom)
            {
                server.Accept(SocketChannel.TakeOver(socket.Accept()));
                isShort = false;
            }
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.ConnectionAborted)
        {
            // The client has gone already.
        }
        catch (ObjectDisposedException)
        {
            // It does not listen any more.
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            if (!isShort)
            {
                isShort = true; // told once, not ten times a second while it lasts
                server.Options.Log?.Invoke($"a client could not be accepted: {e.Message}");
            }

            Thread.Sleep(TickMilliseconds); // the system is short of something: it is not asked at once again
        }
    }

    /// <summary>Leaves clients in the system's queue while there are as many as there may be.</summary>
    private void SetAccepting()
    {
        lock (gate)
        {
            var wanted = server.HasRoom && !server.IsEnding;
            if (wanted != isAccepting)
            {
                isAccepting = wanted;
                foreach (var (id, socket) in listening)
                {
                    Control(wanted ? EpollCalls.Add : EpollCalls.Delete, socket, id);
                }
            }
        }
    }

    private void Register(ChannelHandle descriptor, long id, bool isOnce)
    {
        var change = stackalloc byte[16];
        Fill(change, id, EpollCalls.Readable | (isOnce ? EpollCalls.OneShot : 0));
        if (EpollCalls.Control(epoll, EpollCalls.Modify, descriptor, change) != 0
            && EpollCalls.Control(epoll, EpollCalls.Add, descriptor, change) != 0)
        {
            throw SocketChannel.Failure("epoll_ctl", Marshal.GetLastPInvokeError());
        }
    }

    private void Control(int operation, Socket socket, long id)
    {
        var change = stackalloc byte[16];
        Fill(change, id, EpollCalls.Readable);
        _ = EpollCalls.ControlDescriptor(epoll, operation, (int)socket.Handle, change); // fails only for one that is closed
    }

    private static void Fill(byte* change, long id, uint events)
    {
        new Span<byte>(change, 16).Clear();
        *(uint*)change = events;
        BitConverter.TryWriteBytes(new Span<byte>(change + EpollCalls.DataOffset, sizeof(long)), id);
    }
}
