namespace Byre.Nbd.Tls;

/// <summary>Keys that both sides know (RFC 4279; RFC 8446, section 2.2), for TLS without certificates.</summary>
public sealed record TlsPskOptions
{
    /// <summary>The file of keys: a line "USER:KEY" each, the key in hexadecimal digits ("#" before a name: it is in such digits, too). It is read anew for each connection.</summary>
    public required string KeyFile { get; init; }

    /// <summary>A client's name: which of the keys it uses.</summary>
    public string UserName { get; init; } = "qemu";

    /// <summary>A server's parameters for exchanging keys by Diffie and Hellman's method, in PEM; null, or a file that is not there: standard ones.</summary>
    public string? DhParametersFile { get; init; }

    /// <summary>Protocol versions and ciphers, as GnuTLS's users write them; null for all there are.</summary>
    public string? Priority { get; init; }
}
