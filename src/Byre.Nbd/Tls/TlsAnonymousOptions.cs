namespace Byre.Nbd.Tls;

/// <summary>TLS without any credentials: protects from who listens, and from nobody who can change what is sent.</summary>
public sealed record TlsAnonymousOptions
{
    /// <summary>A server's parameters for exchanging keys by Diffie and Hellman's method, in PEM; null, or a file that is not there: standard ones.</summary>
    public string? DhParametersFile { get; init; }

    /// <summary>Protocol versions, as GnuTLS's users write them; null for all there are. Only TLS 1.2 works without credentials.</summary>
    public string? Priority { get; init; }
}
