namespace Byre.Nbd.Transport;

/// <summary>A connection after its TLS handshake.</summary>
/// <param name="Channel">
/// Carries the plain bytes: one end of a pair, with a pump between the other end and the encrypted socket. Closing or shutting
/// it down ends the connection.
/// </param>
/// <param name="PeerName">
/// The distinguished name of the peer's certificate (X.509) or its user name (pre-shared keys); null where it has shown none.
/// </param>
public sealed record SecuredChannel(SocketChannel Channel, string? PeerName);
