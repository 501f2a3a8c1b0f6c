using System.Net;
using System.Net.Sockets;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>Makes connections: the socket, the greeting, TLS, and the way into the transmission.</summary>
/// <param name="options">The server, the export, and what to ask for.</param>
/// <param name="blocking">Waits on the caller's thread, but for TLS and names of hosts; otherwise on one of the pool.</param>
internal sealed class NbdConnector(NbdClientOptions options, bool blocking)
{
    private const int SocketBuffer = 4 << 20;
    private const int NoSuchFile = 2;

    private readonly string server = options.ServerTitle ?? options.Address.ToString();

    /// <summary>Connects and greets, up to the point where options can be sent.</summary>
    /// <exception cref="BlockException">No connection, or none that can be used.</exception>
    public async Task<(NbdOptionStream Stream, NbdHandshake Handshake)> ConnectAsync(CancellationToken cancellation)
    {
        var limit = options.ConnectTimeout;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (limit > TimeSpan.Zero)
        {
            stop.CancelAfter(limit);
        }

        var stream = new NbdOptionStream(await OpenSocketAsync(stop.Token, cancellation).ConfigureAwait(false), server);
        stream.BeginTime(limit);
        var handshake = new NbdHandshake(stream, options);
        await GuardAsync(
            stream,
            handshake,
            async () =>
            {
                handshake.Greet();
                if (options.Security is { } security)
                {
                    await handshake.StartTlsAsync(security, cancellation).ConfigureAwait(false);
                }

                handshake.NegotiateHeaders();
                return true;
            },
            goesOn: false,
            blocking,
            cancellation).ConfigureAwait(false);
        return (stream, handshake);
    }

    /// <summary>Ends the handshake with an export.</summary>
    /// <param name="stream">The connection; closed where this fails.</param>
    /// <param name="handshake">Its handshake.</param>
    /// <param name="export">The export's name.</param>
    /// <param name="contexts">The metadata contexts to select.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task<NbdSession> EnterAsync(
        NbdOptionStream stream, NbdHandshake handshake, string export, IReadOnlyList<string> contexts, CancellationToken cancellation) => GuardAsync(
        stream,
        handshake,
        () =>
        {
            handshake.SelectContexts(export, contexts);
            var facts = (handshake.Style == NbdHandshakeStyle.FixedNewStyle ? handshake.Ask(NbdOption.Go, export) : null)
                ?? handshake.ExportName(export);
            stream.Channel.SetBufferSizes(SocketBuffer, SocketBuffer);
            return new ValueTask<NbdSession>(new NbdSession(server, handshake.Headers, facts, handshake.Contexts));
        },
        goesOn: false,
        blocking,
        cancellation);

    /// <summary>
    /// Runs a part of a handshake, on a thread that may wait. The connection is closed where it fails, unless the server has
    /// only refused something and more can be asked for.
    /// </summary>
    /// <param name="stream">The connection.</param>
    /// <param name="handshake">Its handshake.</param>
    /// <param name="part">What to run.</param>
    /// <param name="goesOn">More can be asked for after a refusal.</param>
    /// <param name="blocking">That thread is the caller's.</param>
    /// <param name="cancellation">Gives up, and closes the connection.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task<T> GuardAsync<T>(
        NbdOptionStream stream, NbdHandshake handshake, Func<ValueTask<T>> part, bool goesOn, bool blocking, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var registration = cancellation.Register(() => stream.Channel.Shutdown());
        await using (registration.ConfigureAwait(false))
        {
            try
            {
                return blocking
                    ? await part().ConfigureAwait(false)
                    : await Task.Run(async () => await part().ConfigureAwait(false), CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                if (!goesOn || stream.IsBroken || cancellation.IsCancellationRequested || e is not BlockException)
                {
                    await Task.Run(handshake.Abort, CancellationToken.None).ConfigureAwait(false);
                    stream.Channel.Dispose();
                }

                if (e is BlockException)
                {
                    cancellation.ThrowIfCancellationRequested();
                }

                throw;
            }
        }
    }

    private async Task<SocketChannel> OpenSocketAsync(CancellationToken stop, CancellationToken cancellation)
    {
        try
        {
            if (options.Address.SocketPath is { } path)
            {
                return await SocketChannel.ConnectAsync(new UnixDomainSocketEndPoint(path), stop, blocking).ConfigureAwait(false);
            }

            var addresses = IPAddress.TryParse(options.Address.Host, out var literal)
                ? [literal] : await Dns.GetHostAddressesAsync(options.Address.Host, stop).ConfigureAwait(false);
            for (var i = 0; ; i++)
            {
                try
                {
                    return await SocketChannel.ConnectAsync(new IPEndPoint(addresses[i], options.Address.Port), stop, blocking).ConfigureAwait(false);
                }
                catch (SocketException) when (i + 1 < addresses.Length)
                {
                    // A host's next address may answer.
                }
            }
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw NbdFailures.NotConnected(server, "the server does not answer in time", e, errno: NbdOptionStream.TimedOut);
        }
        catch (SocketException e)
        {
            // The system's own sentence, which scripts know: "Connection refused".
            var missing = options.Address.SocketPath is { } path && !path.StartsWith('\0') && !File.Exists(path);
            var errno = missing ? NoSuchFile : e.NativeErrorCode; // the runtime says something else of a path where nothing is
            throw NbdFailures.NotConnected(server, errno > 0 ? ErrorCodes.Describe(errno) : e.Message, e, errno);
        }
        catch (IOException e)
        {
            throw NbdFailures.NotConnected(server, e.Message, e);
        }
        catch (Exception e) when (e is ArgumentException or IndexOutOfRangeException)
        {
            throw NbdFailures.NotConnected(server, e is ArgumentException ? "that is no path of a socket" : "the host has no address", e);
        }
    }
}
