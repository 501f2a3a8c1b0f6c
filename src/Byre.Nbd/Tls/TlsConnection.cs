using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Tls;

/// <summary>Secures one connection: a thread of its own runs the handshake, then the pump, until the connection ends.</summary>
internal sealed class TlsConnection
{
    private const int StackBytes = 256 * 1024;

    private readonly TaskCompletionSource<SecuredChannel> opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SocketChannel network;
    private readonly CancellationToken cancellation;

    private TlsConnection(SocketChannel network, CancellationToken cancellation)
    {
        this.network = network;
        this.cancellation = cancellation;
    }

    /// <summary>Opens a session over a connection.</summary>
    /// <param name="network">The connection; closed when the session ends or fails.</param>
    /// <param name="begin">Makes the session, on the thread that will run it.</param>
    /// <param name="namesPeer">What the peer has shown of itself was checked, and is told.</param>
    /// <param name="cancellation">Gives up the handshake.</param>
    /// <exception cref="IOException">The handshake failed; one line why.</exception>
    public static async ValueTask<SecuredChannel> OpenAsync(
        SocketChannel network, Func<TlsSession> begin, bool namesPeer, CancellationToken cancellation)
    {
        var connection = new TlsConnection(network, cancellation);
        var thread = new Thread(() => connection.Run(begin, namesPeer), StackBytes) { IsBackground = true, Name = "TLS" };
        var registration = cancellation.UnsafeRegister(static channel => ((SocketChannel)channel!).Shutdown(), network);
        await using (registration.ConfigureAwait(false))
        {
            thread.Start();
            return await connection.opened.Task.ConfigureAwait(false);
        }
    }

    private void Run(Func<TlsSession> begin, bool namesPeer)
    {
        try
        {
            using (network)
            {
                using var session = begin();
                SetNonBlocking();
                Handshake(session);
                var peer = namesPeer ? session.PeerName : null;
                var (first, second) = SocketChannel.CreatePair();
                using (second)
                {
                    if (!opened.TrySetResult(new SecuredChannel(first, peer)))
                    {
                        first.Dispose();
                        return;
                    }

                    new TlsPump(session, network, second).Run();
                }
            }
        }
        catch (Exception e) when (e is IOException or CryptographicException or ObjectDisposedException or System.Formats.Asn1.AsnContentException)
        {
            // Once the connection is open, its owner sees it end.
            if (cancellation.IsCancellationRequested)
            {
                _ = opened.TrySetCanceled(cancellation);
            }
            else
            {
                _ = opened.TrySetException(e as IOException ?? new IOException($"TLS handshake failed: {e.Message}", e));
            }
        }
        catch (Exception e)
        {
            _ = opened.TrySetException(e);
        }
    }

    private void Handshake(TlsSession session)
    {
        while (true)
        {
            var wanted = session.Handshake() switch
            {
                TlsStep.Done => ChannelEvents.None,
                TlsStep.WantsRead => ChannelEvents.Readable,
                TlsStep.WantsWrite => ChannelEvents.Writable,
                _ => throw new IOException($"TLS handshake failed: {session.Failure ?? "the peer has closed the connection"}"),
            };
            if (wanted == ChannelEvents.None)
            {
                return;
            }

            _ = network.Poll(wanted);
        }
    }

    private void SetNonBlocking()
    {
        var descriptor = (int)network.Handle.DangerousGetHandle();
        var flags = SocketCalls.Control(descriptor, SocketCalls.GetStatusFlags, 0);
        if (flags < 0 || SocketCalls.Control(descriptor, SocketCalls.SetStatusFlags, flags | SocketCalls.NonBlocking) < 0)
        {
            throw SocketChannel.Failure("fcntl", Marshal.GetLastPInvokeError());
        }
    }
}
