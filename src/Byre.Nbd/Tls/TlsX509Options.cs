using Byre.Crypto;

namespace Byre.Nbd.Tls;

/// <summary>Certificates for TLS, in a directory with the names that QEMU and its users know.</summary>
public sealed record TlsX509Options
{
    /// <summary>
    /// The directory: ca-cert.pem (whom to believe), ca-crl.pem (what was revoked; may be missing), dh-params.pem (may be
    /// missing), and server-cert.pem with server-key.pem, or client-cert.pem with client-key.pem (which may both be missing).
    /// Null for a client that believes whom the system believes, and shows no certificate.
    /// </summary>
    public string? Directory { get; init; }

    /// <summary>The peer must show a certificate that can be believed.</summary>
    public bool VerifyPeer { get; init; } = true;

    /// <summary>A server's certificate must also be made for the name it was called by; where not, any of a believed authority will do.</summary>
    public bool VerifyName { get; init; } = true;

    /// <summary>The own certificate is looked at before it is used: in time, for this purpose, and of the authority in ca-cert.pem.</summary>
    public bool SanityCheck { get; init; } = true;

    /// <summary>Protocol versions and ciphers, as GnuTLS's users write them; null for all there are.</summary>
    public string? Priority { get; init; }

    /// <summary>The passphrase of the key's file, or null; it belongs to the caller and is read only when the credentials are made.</summary>
    public SecretBytes? KeyPassphrase { get; init; }
}
