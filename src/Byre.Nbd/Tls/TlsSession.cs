using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Tls;

/// <summary>
/// One TLS session over a socket whose calls do not wait: each step says what it waits for. One thread at a time; OpenSSL's
/// list of errors belongs to the thread, so that a step and the look at its failure are made by the same one.
/// </summary>
internal sealed unsafe class TlsSession : IDisposable
{
    private readonly SocketChannel socket;
    private readonly PskExchange? exchange;
    private GCHandle exchangeHandle;
    private nint session;
    private bool holdsSocket;

    /// <summary>Makes a session, which has not begun.</summary>
    /// <param name="context">Of the endpoint; in use until the session was made, which has a reference of its own.</param>
    /// <param name="socket">The encrypted side, in use until the session is disposed; it belongs to the caller.</param>
    /// <param name="accepts">The server's side.</param>
    /// <param name="exchange">For a context of <see cref="PskContext"/>.</param>
    /// <exception cref="IOException">There is no memory for it.</exception>
    public TlsSession(TlsContext context, SocketChannel socket, bool accepts, PskExchange? exchange)
    {
        this.socket = socket;
        this.exchange = exchange;
        var holdsContext = false;
        try
        {
            TlsErrors.Clear();
            context.DangerousAddRef(ref holdsContext);
            session = LibSsl.SSL_new(context.Pointer);
            socket.Handle.DangerousAddRef(ref holdsSocket);
            if (session == 0 || LibSsl.SSL_set_fd(session, (int)socket.Handle.DangerousGetHandle()) != 1)
            {
                throw new IOException($"TLS: a session could not be made: {TlsErrors.Take()}");
            }

            if (exchange is not null)
            {
                exchangeHandle = GCHandle.Alloc(exchange);
                _ = LibSsl.SSL_set_ex_data(session, 0, GCHandle.ToIntPtr(exchangeHandle));
            }

            if (accepts)
            {
                LibSsl.SSL_set_accept_state(session);
            }
            else
            {
                LibSsl.SSL_set_connect_state(session);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
        finally
        {
            if (holdsContext)
            {
                context.DangerousRelease();
            }
        }
    }

    /// <summary>Why the last step failed; null where the peer just ended the connection.</summary>
    public string? Failure { get; private set; }

    /// <summary>What the peer has shown of itself: the distinguished name of its certificate, or its user name; null for nothing.</summary>
    public string? PeerName
    {
        get
        {
            if (exchange is not null)
            {
                return exchange.UserName;
            }

            var certificate = LibSsl.SSL_get0_peer_certificate(session);
            if (certificate == 0)
            {
                return null;
            }

            var name = LibSsl.X509_get_subject_name(certificate);
            var length = LibSsl.i2d_X509_NAME(name, null);
            if (length <= 0)
            {
                return null;
            }

            var der = new byte[length];
            fixed (byte* start = der)
            {
                var at = start;
                _ = LibSsl.i2d_X509_NAME(name, &at);
            }

            return DistinguishedName.Format(der);
        }
    }

    /// <summary>The peer's certificate must be for a name, or an address; also tells the peer which name it is called by.</summary>
    /// <exception cref="IOException">It is no name that a certificate could be for.</exception>
    public void ExpectName(string name)
    {
        if (name.Length == 0 || name.Contains('\0', StringComparison.Ordinal))
        {
            // OpenSSL sees a name's end there; without any name it would take every certificate.
            throw new IOException($"TLS: '{name}' is no name that a certificate could be for");
        }

        var parameters = LibSsl.SSL_get0_param(session);
        if (IPAddress.TryParse(name, out _))
        {
            if (LibSsl.X509_VERIFY_PARAM_set1_ip_asc(parameters, name) != 1)
            {
                throw new IOException($"TLS: '{name}' is no address that a certificate could be for");
            }

            return;
        }

        var bytes = Encoding.UTF8.GetBytes(name + "\0");
        fixed (byte* start = bytes)
        {
            if (LibSsl.X509_VERIFY_PARAM_set1_host(parameters, name, 0) != 1
                || LibSsl.SSL_ctrl(session, LibSsl.ControlServerName, 0, start) != 1)
            {
                throw new IOException($"TLS: '{name}' is no name that a certificate could be for");
            }
        }
    }

    /// <summary>Goes on with the handshake.</summary>
    public TlsStep Handshake()
    {
        TlsErrors.Clear();
        var result = LibSsl.SSL_do_handshake(session);
        return result == 1 ? TlsStep.Done : StepOf(result);
    }

    /// <summary>Decrypts what has come.</summary>
    /// <param name="buffer">Not empty.</param>
    /// <param name="count">Bytes, at least one when done.</param>
    public TlsStep Read(Span<byte> buffer, out int count)
    {
        TlsErrors.Clear();
        fixed (byte* start = buffer)
        {
            var result = LibSsl.SSL_read(session, start, buffer.Length);
            count = Math.Max(result, 0);
            return result > 0 ? TlsStep.Done : StepOf(result);
        }
    }

    /// <summary>Encrypts and sends. After a step that waits, the next one begins with the same bytes.</summary>
    /// <param name="bytes">Not empty.</param>
    /// <param name="count">Bytes, at least one when done.</param>
    public TlsStep Write(ReadOnlySpan<byte> bytes, out int count)
    {
        TlsErrors.Clear();
        fixed (byte* start = bytes)
        {
            var result = LibSsl.SSL_write(session, start, bytes.Length);
            count = Math.Max(result, 0);
            return result > 0 ? TlsStep.Done : StepOf(result);
        }
    }

    /// <summary>Tells the peer that nothing more will be sent.</summary>
    public TlsStep End()
    {
        TlsErrors.Clear();
        var result = LibSsl.SSL_shutdown(session);
        return result >= 0 ? TlsStep.Done : StepOf(result);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (session != 0)
        {
            LibSsl.SSL_free(session);
            session = 0;
        }

        if (exchangeHandle.IsAllocated)
        {
            exchangeHandle.Free();
        }

        if (holdsSocket)
        {
            holdsSocket = false;
            socket.Handle.DangerousRelease();
        }
    }

    private TlsStep StepOf(int result)
    {
        var errno = Marshal.GetLastPInvokeError(); // of the step: what follows does not set it
        switch (LibSsl.SSL_get_error(session, result))
        {
            case LibSsl.ErrorWantRead:
                return TlsStep.WantsRead;
            case LibSsl.ErrorWantWrite:
                return TlsStep.WantsWrite;
            case LibSsl.ErrorZeroReturn:
                return TlsStep.Ended;
            case LibSsl.ErrorSystem:
                Failure = errno == 0 ? null : Marshal.GetPInvokeErrorMessage(errno);
                return errno == 0 ? TlsStep.Ended : TlsStep.Failed;
            default:
                Failure = Reason();
                return TlsStep.Failed;
        }
    }

    private string Reason()
    {
        var words = TlsErrors.Take();
        var check = LibSsl.SSL_get_verify_result(session);
        return exchange?.Failure ?? (check != 0 ? $"the peer's certificate is not accepted: {TlsErrors.OfCertificate(check)}" : words ?? "no reason is told");
    }
}
