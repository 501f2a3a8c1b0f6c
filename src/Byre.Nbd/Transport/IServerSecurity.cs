namespace Byre.Nbd.Transport;

/// <summary>Secures the connections that a server gets (section "STARTTLS").</summary>
public interface IServerSecurity
{
    /// <summary>Clients must start TLS before they learn anything (FORCEDTLS); otherwise they may (SELECTIVETLS).</summary>
    bool IsRequired { get; }

    /// <summary>Runs the server's side of the TLS handshake.</summary>
    /// <param name="plain">The connection; belongs to the result afterwards, or is closed.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">The handshake failed, or the client's credentials are not valid; one line why.</exception>
    ValueTask<SecuredChannel> AcceptAsync(SocketChannel plain, CancellationToken cancellation);
}
