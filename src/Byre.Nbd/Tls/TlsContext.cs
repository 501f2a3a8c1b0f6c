using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>What all sessions of one endpoint share (OpenSSL's SSL_CTX): versions, ciphers, certificates.</summary>
internal sealed class TlsContext : SafeHandle
{
    /// <summary>A connection that is busy sends records of 16 KiB; so many are read from the socket at once.</summary>
    private const int ReadAheadBytes = 64 * 1024;

    /// <summary>Makes one that is not valid yet.</summary>
    public TlsContext()
        : base(0, ownsHandle: true)
    {
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>OpenSSL's own reference, for calls while the context is held.</summary>
    public nint Pointer => handle;

    /// <summary>Makes one that has neither certificates nor keys.</summary>
    /// <param name="priority">Versions.</param>
    /// <param name="ciphers">Those of TLS 1.2.</param>
    /// <param name="suites">Those of TLS 1.3.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: the system's OpenSSL is missing or lacks these.</exception>
    public static TlsContext Create(TlsPriority priority, string ciphers, string suites)
    {
        var context = new TlsContext();
        try
        {
            TlsErrors.Clear();
            context.SetHandle(LibSsl.SSL_CTX_new(LibSsl.TLS_method()));
            if (context.IsInvalid)
            {
                throw Failure("OpenSSL cannot make a context");
            }

            context.Configure(priority, ciphers, suites);
            return context;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            context.Dispose();
            throw new BlockException(ErrorCode.NotSupported, "TLS needs OpenSSL 3 (libssl.so.3), which this system does not have", inner: e);
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>A failure of the calling thread's last call, with OpenSSL's reason.</summary>
    public static BlockException Failure(string what, ErrorCode code = ErrorCode.NotSupported) =>
        new(code, TlsErrors.Take() is { } reason ? $"TLS: {what}: {reason}" : $"TLS: {what}");

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        LibSsl.SSL_CTX_free(handle);
        return true;
    }

    private void Configure(TlsPriority priority, string ciphers, string suites)
    {
        // Sessions are not resumed: each connection shows its credentials, and what was revoked meanwhile is out.
        _ = LibSsl.SSL_CTX_set_options(
            handle,
            LibSsl.OptionNoTicket | LibSsl.OptionNoCompression | LibSsl.OptionNoRenegotiation | LibSsl.OptionServerPreference
                | LibSsl.OptionIgnoreUnexpectedEnd);
        _ = LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlSessionCache, 0, 0);
        _ = LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlMode, LibSsl.ModePartialWrite | LibSsl.ModeMovingBuffer | LibSsl.ModeReleaseBuffers, 0);
        _ = LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlReadAhead, 1, 0);
        LibSsl.SSL_CTX_set_default_read_buffer_len(handle, ReadAheadBytes);
        var isSet = LibSsl.SSL_CTX_set_num_tickets(handle, 0) == 1
            && LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlLeastVersion, priority.LeastVersion, 0) == 1
            && LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlMostVersion, priority.MostVersion, 0) == 1
            && LibSsl.SSL_CTX_ctrl(handle, LibSsl.ControlAutomaticDh, 1, 0) == 1
            && LibSsl.SSL_CTX_set_cipher_list(handle, ciphers) == 1
            && LibSsl.SSL_CTX_set_ciphersuites(handle, suites) == 1;
        if (!isSet)
        {
            throw Failure("OpenSSL lacks the versions or ciphers that are wanted");
        }
    }
}
