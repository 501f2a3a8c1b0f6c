using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>A server's TLS, by OpenSSL: versions 1.2 and 1.3, with certificates, with keys that both sides know, or without credentials.</summary>
public sealed class TlsServerSecurity : IServerSecurity, IDisposable
{
    private readonly TlsContext context;
    private readonly TlsPskOptions? keys;
    private readonly bool namesPeer;

    private TlsServerSecurity(TlsContext context, TlsPskOptions? keys, bool namesPeer)
    {
        this.context = context;
        this.keys = keys;
        this.namesPeer = namesPeer;
    }

    /// <inheritdoc/>
    public bool IsRequired { get; init; } = true;

    /// <summary>With certificates.</summary>
    /// <param name="options">The certificates; the directory must be given.</param>
    /// <exception cref="BlockException">They cannot be used; one line that names the file.</exception>
    public static TlsServerSecurity WithCertificates(TlsX509Options options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentException.ThrowIfNullOrEmpty(options.Directory);
        return new TlsServerSecurity(X509Context.Create(options, isServer: true), keys: null, options.VerifyPeer);
    }

    /// <summary>With keys that both sides know.</summary>
    /// <param name="options">Where the keys are.</param>
    /// <exception cref="BlockException">They cannot be used; one line that names the file.</exception>
    public static TlsServerSecurity WithKeys(TlsPskOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new TlsServerSecurity(PskContext.Create(options, isServer: true), options, namesPeer: true);
    }

    /// <summary>Without credentials.</summary>
    /// <param name="options">Parameters and versions.</param>
    /// <exception cref="BlockException">They cannot be used; one line.</exception>
    public static TlsServerSecurity WithoutCredentials(TlsAnonymousOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new TlsServerSecurity(AnonymousContext.Create(options, isServer: true), keys: null, namesPeer: false);
    }

    /// <inheritdoc/>
    public ValueTask<SecuredChannel> AcceptAsync(SocketChannel plain, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(plain);
        return TlsConnection.OpenAsync(
            plain,
            () => new TlsSession(context, plain, accepts: true, keys is null ? null : new PskExchange(keys)),
            namesPeer,
            cancellation);
    }

    /// <summary>No more sessions can be made; those that are there go on.</summary>
    public void Dispose() => context.Dispose();
}
