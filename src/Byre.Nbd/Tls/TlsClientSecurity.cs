using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>A client's TLS, by OpenSSL: versions 1.2 and 1.3, with certificates, with keys that both sides know, or without credentials.</summary>
public sealed class TlsClientSecurity : IClientSecurity, IDisposable
{
    private readonly TlsContext context;
    private readonly TlsPskOptions? keys;
    private readonly bool verifiesPeer;
    private readonly bool verifiesName;

    private TlsClientSecurity(TlsContext context, TlsPskOptions? keys, bool verifiesPeer, bool verifiesName)
    {
        this.context = context;
        this.keys = keys;
        this.verifiesPeer = verifiesPeer;
        this.verifiesName = verifiesName;
    }

    /// <summary>With certificates.</summary>
    /// <param name="options">The certificates.</param>
    /// <exception cref="BlockException">They cannot be used; one line that names the file.</exception>
    public static TlsClientSecurity WithCertificates(TlsX509Options options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new TlsClientSecurity(X509Context.Create(options, isServer: false), keys: null, options.VerifyPeer, options.VerifyPeer && options.VerifyName);
    }

    /// <summary>With keys that both sides know.</summary>
    /// <param name="options">Where the keys are, and which one is used.</param>
    /// <exception cref="BlockException">They cannot be used; one line that names the file.</exception>
    public static TlsClientSecurity WithKeys(TlsPskOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new TlsClientSecurity(PskContext.Create(options, isServer: false), options, verifiesPeer: false, verifiesName: false);
    }

    /// <summary>Without credentials: whoever answers is taken for the server.</summary>
    /// <param name="options">Parameters and versions.</param>
    /// <exception cref="BlockException">They cannot be used; one line.</exception>
    public static TlsClientSecurity WithoutCredentials(TlsAnonymousOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new TlsClientSecurity(AnonymousContext.Create(options, isServer: false), keys: null, verifiesPeer: false, verifiesName: false);
    }

    /// <inheritdoc/>
    public ValueTask<SecuredChannel> ConnectAsync(SocketChannel plain, string hostName, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(plain);
        ArgumentNullException.ThrowIfNull(hostName);
        if (verifiesName && hostName.Length == 0)
        {
            plain.Dispose();
            throw new IOException("TLS: no host name is known to check the server's certificate against (tls-hostname gives one)");
        }

        return TlsConnection.OpenAsync(plain, Begin, namesPeer: verifiesPeer, cancellation);

        TlsSession Begin()
        {
            var session = new TlsSession(context, plain, accepts: false, keys is null ? null : new PskExchange(keys));
            try
            {
                if (verifiesName)
                {
                    session.ExpectName(hostName);
                }

                return session;
            }
            catch
            {
                session.Dispose();
                throw;
            }
        }
    }

    /// <summary>No more sessions can be made; those that are there go on.</summary>
    public void Dispose() => context.Dispose();
}
