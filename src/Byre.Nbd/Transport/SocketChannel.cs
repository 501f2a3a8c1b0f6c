using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Byre.Nbd.Transport;

/// <summary>
/// A connected stream socket, used by threads that may wait in the kernel: nothing stands between its calls and the system's,
/// which is what makes a request cost two of them. One thread may receive while another sends; senders take turns by
/// themselves no more than receivers do.
/// </summary>
/// <remarks>
/// All calls throw <see cref="IOException"/> with the system's reason where the connection has failed, and
/// <see cref="ObjectDisposedException"/> after <see cref="Dispose"/>. Linux only.
/// </remarks>
public sealed class SocketChannel : IDisposable
{
    private const int QueueMilliseconds = 250;

    private readonly ChannelHandle handle;
    private int isShutDown;

    private SocketChannel(ChannelHandle handle) => this.handle = handle;

    /// <summary>The descriptor, for the system's calls that wait for many; valid until the channel is disposed.</summary>
    internal ChannelHandle Handle => handle;

    /// <summary>Takes a connected socket over, which is of no use to others afterwards.</summary>
    /// <param name="socket">
    /// Connected; one that no asynchronous call was made on, as the runtime would go on watching it.
    /// </param>
    public static SocketChannel TakeOver(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using (socket)
        {
            var copy = SocketCalls.Control((int)socket.Handle, SocketCalls.DuplicateCloseOnExec, 0);
            return copy >= 0 ? FromDescriptor(copy) : throw Failure("fcntl", Marshal.GetLastPInvokeError());
        }
    }

    /// <summary>Takes the descriptor of a connected stream socket over.</summary>
    public static SocketChannel FromDescriptor(int descriptor)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(descriptor);
        var flags = SocketCalls.Control(descriptor, SocketCalls.GetStatusFlags, 0);
        if (flags >= 0 && (flags & SocketCalls.NonBlocking) != 0)
        {
            _ = SocketCalls.Control(descriptor, SocketCalls.SetStatusFlags, flags & ~SocketCalls.NonBlocking);
        }

        return new SocketChannel(new ChannelHandle(descriptor));
    }

    /// <summary>Makes two that are connected with each other.</summary>
    /// <exception cref="IOException">The system has no descriptors left.</exception>
    public static unsafe (SocketChannel First, SocketChannel Second) CreatePair()
    {
        var pair = stackalloc int[2];
        return SocketCalls.SocketPair(SocketCalls.UnixFamily, SocketCalls.StreamCloseOnExec, 0, pair) == 0
            ? (FromDescriptor(pair[0]), FromDescriptor(pair[1]))
            : throw Failure("socketpair", Marshal.GetLastPInvokeError());
    }

    /// <summary>Connects.</summary>
    /// <param name="address">A TCP or Unix socket address.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="blocking">Waits on the caller's thread; otherwise on one of the pool.</param>
    /// <exception cref="SocketException">There is no connection.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public static async Task<SocketChannel> ConnectAsync(EndPoint address, CancellationToken cancellation, bool blocking = false)
    {
        ArgumentNullException.ThrowIfNull(address);
        while (true)
        {
            try
            {
                return await ConnectOnceAsync(address, blocking, cancellation).ConfigureAwait(false);
            }
            catch (SocketException e) when (e.NativeErrorCode == SocketCalls.Again)
            {
                // Its queue is full: whoever listens takes nobody in now. The wait for that cannot be ended from outside.
                cancellation.ThrowIfCancellationRequested();
            }
        }
    }

    /// <summary>Receives what is there, waiting for at least one byte.</summary>
    /// <param name="buffer">Not empty.</param>
    /// <returns>Bytes received; 0 at the end; -1 where the time of <see cref="SetReceiveTimeout"/> is over.</returns>
    public int Receive(Span<byte> buffer) => Receive(buffer, 0);

    /// <summary>Receives, waiting until the buffer is full, which costs one call for what is long.</summary>
    /// <param name="buffer">Not empty.</param>
    /// <returns>
    /// Bytes received, fewer only at the end of the stream or where the time of <see cref="SetReceiveTimeout"/> is over;
    /// 0 at the end; -1 where nothing came in time.
    /// </returns>
    public int ReceiveMuch(Span<byte> buffer) => Receive(buffer, SocketCalls.WaitAll);

    /// <summary>Receives what is there, without waiting.</summary>
    /// <param name="buffer">Not empty.</param>
    /// <returns>Bytes received; 0 at the end; -1 where there is nothing yet.</returns>
    public int TryReceive(Span<byte> buffer) => Receive(buffer, SocketCalls.DontWait);

    /// <summary>Receives until the buffer is full.</summary>
    /// <returns>False at the end of the stream, or where the time is over.</returns>
    public bool ReceiveAll(Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var count = Receive(buffer);
            if (count <= 0)
            {
                return false;
            }

            buffer = buffer[count..];
        }

        return true;
    }

    /// <summary>Sends all bytes of both parts, in one call where the socket takes them.</summary>
    /// <param name="first">The first part.</param>
    /// <param name="second">What follows it.</param>
    /// <exception cref="IOException">The connection failed, or the time of <see cref="SetSendTimeout"/> is over.</exception>
    public void Send(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default)
    {
        while (!first.IsEmpty || !second.IsEmpty)
        {
            var sent = Send(first, second, 0);
            if (sent < 0)
            {
                throw new IOException("The peer does not read what it is sent");
            }

            var ofFirst = Math.Min(sent, first.Length);
            first = first[ofFirst..];
            second = second[(sent - ofFirst)..];
        }
    }

    /// <summary>Sends what the socket takes without waiting.</summary>
    /// <param name="first">The first part.</param>
    /// <param name="second">What follows it.</param>
    /// <returns>Bytes sent, of both parts together; 0 where the socket takes none now.</returns>
    public int TrySend(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default) =>
        first.IsEmpty && second.IsEmpty ? 0 : Math.Max(0, Send(first, second, SocketCalls.DontWait));

    /// <summary>Waits until the socket is ready, an event is set, or the time is over.</summary>
    /// <param name="wanted">What to wait for on the socket; a failed socket ends the wait in any case.</param>
    /// <param name="wake">Ends the wait, or null; it stays set.</param>
    /// <param name="timeout">Milliseconds; negative for no limit.</param>
    public unsafe ChannelEvents Poll(ChannelEvents wanted, WakeEvent? wake = null, int timeout = -1)
    {
        bool holdsSocket = false, holdsWake = false;
        try
        {
            handle.DangerousAddRef(ref holdsSocket);
            wake?.Handle.DangerousAddRef(ref holdsWake);
            var entries = stackalloc SocketCalls.PollEntry[2];
            entries[0] = new SocketCalls.PollEntry
            {
                Descriptor = (int)handle.DangerousGetHandle(),
                Events = (short)(((wanted & ChannelEvents.Readable) != 0 ? SocketCalls.PollIn : 0)
                    | ((wanted & ChannelEvents.Writable) != 0 ? SocketCalls.PollOut : 0)),
            };
            entries[1] = new SocketCalls.PollEntry { Descriptor = wake is null ? -1 : (int)wake.Handle.DangerousGetHandle(), Events = SocketCalls.PollIn };
            var until = timeout > 0 ? Stopwatch.GetTimestamp() + (timeout * Stopwatch.Frequency / 1000) : 0;
            while (SocketCalls.Poll(entries, 2, timeout) < 0)
            {
                var errno = Marshal.GetLastPInvokeError();
                if (errno != SocketCalls.Interrupted)
                {
                    throw Failure("poll", errno);
                }

                timeout = timeout > 0 ? (int)Math.Max(0, (until - Stopwatch.GetTimestamp()) * 1000 / Stopwatch.Frequency) : timeout;
            }

            var result = ChannelEvents.None;
            var socket = entries[0].Returned;
            result |= (socket & (SocketCalls.PollIn | SocketCalls.PollError | SocketCalls.PollHangUp)) != 0 ? ChannelEvents.Readable : 0;
            result |= (socket & SocketCalls.PollOut) != 0 ? ChannelEvents.Writable : 0;
            result |= (socket & (SocketCalls.PollError | SocketCalls.PollHangUp)) != 0 ? ChannelEvents.HungUp : 0;
            return result | (entries[1].Returned != 0 ? ChannelEvents.Woken : 0);
        }
        finally
        {
            if (holdsWake)
            {
                wake!.Handle.DangerousRelease();
            }

            if (holdsSocket)
            {
                handle.DangerousRelease();
            }
        }
    }

    /// <summary>Limits how long <see cref="Receive(Span{byte})"/> waits.</summary>
    /// <param name="limit">Zero for no limit.</param>
    public void SetReceiveTimeout(TimeSpan limit) => SetTime(SocketCalls.ReceiveTimeout, limit);

    /// <summary>Limits how long a send waits for the peer to read.</summary>
    /// <param name="limit">Zero for no limit.</param>
    public void SetSendTimeout(TimeSpan limit) => SetTime(SocketCalls.SendTimeout, limit);

    /// <summary>Small messages are sent at once (TCP_NODELAY); does nothing for a socket that is not TCP.</summary>
    /// <returns>False where it is not.</returns>
    public unsafe bool SetNoDelay()
    {
        var on = 1;
        return SocketCalls.SetOption(handle, SocketCalls.TcpLevel, SocketCalls.TcpNoDelay, &on, sizeof(int)) == 0;
    }

    /// <summary>A peer that has vanished is noticed after a while, though nothing is sent (SO_KEEPALIVE).</summary>
    public unsafe void SetKeepAlive()
    {
        var on = 1;
        _ = SocketCalls.SetOption(handle, SocketCalls.SocketLevel, SocketCalls.KeepAlive, &on, sizeof(int));
    }

    /// <summary>Asks for room in the kernel, which gives what it allows.</summary>
    /// <param name="sendBytes">For what is sent and not yet read by the peer.</param>
    /// <param name="receiveBytes">For what is received and not yet read here.</param>
    public unsafe void SetBufferSizes(int sendBytes, int receiveBytes)
    {
        _ = SocketCalls.SetOption(handle, SocketCalls.SocketLevel, SocketCalls.SendBufferSize, &sendBytes, sizeof(int));
        _ = SocketCalls.SetOption(handle, SocketCalls.SocketLevel, SocketCalls.ReceiveBufferSize, &receiveBytes, sizeof(int));
    }

    /// <summary>Nothing more is wanted: receives return what is there already, and then the end.</summary>
    public void ShutdownReceive() => Shutdown(0);

    /// <summary>Says that nothing more will be sent; the peer reads the end.</summary>
    public void ShutdownSend() => Shutdown(1);

    /// <summary>
    /// Ends the connection in both directions: threads that wait in it return. May be called at any time, from any thread,
    /// also after the channel was disposed.
    /// </summary>
    public void Shutdown()
    {
        if (Interlocked.Exchange(ref isShutDown, 1) == 0)
        {
            Shutdown(2);
        }
    }

    /// <summary>Closes the socket; threads that are waiting in it return first.</summary>
    public void Dispose()
    {
        Shutdown();
        handle.Dispose();
    }

    internal static IOException Failure(string call, int errno) => new($"{call}: {Marshal.GetPInvokeErrorMessage(errno)}");

    private static async Task<SocketChannel> ConnectOnceAsync(EndPoint address, bool blocking, CancellationToken cancellation)
    {
        var isUnix = address.AddressFamily == AddressFamily.Unix;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (isUnix)
            {
                socket.SendTimeout = QueueMilliseconds;
            }

            // On a thread that waits: a socket that was connected asynchronously stays on the runtime's list (see TakeOver).
            var registration = cancellation.Register(socket.Dispose);
            await using (registration.ConfigureAwait(false))
            {
                if (blocking)
                {
                    socket.Connect(address);
                }
                else
                {
                    await Task.Run(() => socket.Connect(address), CancellationToken.None).ConfigureAwait(false);
                }
            }

            var channel = TakeOver(socket);
            if (isUnix)
            {
                channel.SetSendTimeout(TimeSpan.Zero);
            }
            else
            {
                channel.SetNoDelay();
            }

            return channel;
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (e is SocketException or ObjectDisposedException)
            {
                cancellation.ThrowIfCancellationRequested();
            }

            throw;
        }
    }

    private void Shutdown(int how)
    {
        try
        {
            _ = SocketCalls.Shutdown(handle, how); // fails only where the peer has ended the connection
        }
        catch (ObjectDisposedException)
        {
            // It is closed already.
        }
    }

    private unsafe int Receive(Span<byte> buffer, int flags)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = SocketCalls.Receive(handle, start, buffer.Length, flags);
                if (count >= 0)
                {
                    return (int)count;
                }

                var errno = Marshal.GetLastPInvokeError();
                if (errno == SocketCalls.Again)
                {
                    return -1;
                }

                if (errno != SocketCalls.Interrupted)
                {
                    throw Failure("recv", errno);
                }
            }
        }
    }

    private unsafe int Send(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, int flags)
    {
        flags |= SocketCalls.NoSignal;
        fixed (byte* firstStart = first, secondStart = second)
        {
            var vectors = stackalloc SocketCalls.IoVector[2];
            vectors[0] = new SocketCalls.IoVector { Base = firstStart, Length = first.Length };
            vectors[1] = new SocketCalls.IoVector { Base = secondStart, Length = second.Length };
            var message = new SocketCalls.MessageHeader { Vectors = vectors, VectorCount = 2 };
            while (true)
            {
                var count = second.IsEmpty ? SocketCalls.Send(handle, firstStart, first.Length, flags)
                    : first.IsEmpty ? SocketCalls.Send(handle, secondStart, second.Length, flags)
                    : SocketCalls.SendMessage(handle, &message, flags);
                if (count >= 0)
                {
                    return (int)count;
                }

                var errno = Marshal.GetLastPInvokeError();
                if (errno == SocketCalls.Again)
                {
                    return -1;
                }

                if (errno != SocketCalls.Interrupted)
                {
                    throw Failure("send", errno);
                }
            }
        }
    }

    private unsafe void SetTime(int option, TimeSpan limit)
    {
        var time = stackalloc long[2]; // struct timeval
        time[0] = (long)limit.TotalSeconds;
        time[1] = limit.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond;
        if (limit > TimeSpan.Zero && time[0] == 0 && time[1] == 0)
        {
            time[1] = 1; // not "no limit"
        }

        _ = SocketCalls.SetOption(handle, SocketCalls.SocketLevel, option, time, 2 * sizeof(long));
    }
}
