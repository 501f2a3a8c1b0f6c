namespace Byre.Nbd.Transport;

/// <summary>Secures a client's connections (section "STARTTLS").</summary>
public interface IClientSecurity
{
    /// <summary>Runs the client's side of the TLS handshake.</summary>
    /// <param name="plain">The connection; belongs to the result afterwards, or is closed.</param>
    /// <param name="hostName">The name that the server's certificate must be for; empty where there is none to check.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">The handshake failed, or the server's credentials are not valid; one line why.</exception>
    ValueTask<SecuredChannel> ConnectAsync(SocketChannel plain, string hostName, CancellationToken cancellation);
}
