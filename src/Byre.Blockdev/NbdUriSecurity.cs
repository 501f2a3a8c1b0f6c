using Byre.Nbd;
using Byre.Nbd.Tls;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>The credentials that a URI (nbds://, nbds+unix://) asks for by itself.</summary>
public static class NbdUriSecurity
{
    /// <summary>Makes them.</summary>
    /// <param name="uri">The URI.</param>
    /// <returns>
    /// Null for a URI without TLS. With "tls-psk-file" or "tls-type=psk": a pre-shared key, of the URI's user or else of who runs
    /// the program. Otherwise certificates: those in "tls-certificates", or whom the system believes.
    /// </returns>
    /// <exception cref="BlockException">They cannot be used, or are of a kind that is not supported.</exception>
    public static TlsClientSecurity? For(NbdUri uri)
    {
        ArgumentNullException.ThrowIfNull(uri);
        if (!uri.IsSecure)
        {
            return null;
        }

        if (uri.TlsType == "anon")
        {
            throw new BlockException(
                ErrorCode.NotSupported, "TLS without any credentials (tls-type=anon) protects from nobody who can change what is sent, and is not supported");
        }

        if (uri.TlsKeyFile is null && uri.TlsType != "psk")
        {
            // A path is no name that a certificate could be made for: the URI's own authority is enough, as for libnbd.
            var hasName = !uri.Address.IsUnix || uri.TlsHostName is not null || uri.TlsCertificates is null;
            return TlsClientSecurity.WithCertificates(new TlsX509Options
            {
                Directory = uri.TlsCertificates,
                VerifyPeer = uri.TlsVerifyPeer ?? true,
                VerifyName = hasName,
            });
        }

        return TlsClientSecurity.WithKeys(new TlsPskOptions
        {
            KeyFile = uri.TlsKeyFile ?? throw new BlockException(ErrorCode.Invalid, "tls-type=psk needs the file of keys: tls-psk-file=PATH"),
            UserName = uri.UserName ?? Environment.UserName,
        });
    }
}
