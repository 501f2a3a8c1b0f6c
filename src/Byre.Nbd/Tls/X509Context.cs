using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>Makes contexts for TLS with certificates.</summary>
internal static unsafe class X509Context
{
    /// <summary>SSL_CTRL_GET_EXTRA_CHAIN_CERTS and SSL_CTRL_GET_CHAIN_CERTS.</summary>
    private const int GetChain = 115;

    /// <summary>Makes a context.</summary>
    /// <param name="options">The certificates.</param>
    /// <param name="isServer">For a server, not a client.</param>
    /// <exception cref="BlockException">A file is missing or not valid, or the own certificate is of no use; one line that names the file.</exception>
    public static TlsContext Create(TlsX509Options options, bool isServer)
    {
        var priority = options.Priority is { } text ? TlsPriority.Parse(text) : TlsPriority.Default;
        var context = TlsContext.Create(priority, priority.Ciphers12, priority.Suites13);
        try
        {
            LoadAuthorities(context, options, isServer);
            LoadOwn(context, options, isServer);
            LibSsl.SSL_CTX_set_verify(
                context.Pointer, options.VerifyPeer ? LibSsl.VerifyPeer | LibSsl.VerifyFailIfNoCertificate : LibSsl.VerifyNone, 0);
            return context;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    private static void LoadAuthorities(TlsContext context, TlsX509Options options, bool isServer)
    {
        TlsErrors.Clear();
        if (options.Directory is not { } directory)
        {
            if (LibSsl.SSL_CTX_set_default_verify_paths(context.Pointer) != 1)
            {
                throw TlsContext.Failure("whom the system believes cannot be told");
            }

            return;
        }

        var path = Path.Combine(directory, "ca-cert.pem");
        TlsFiles.CheckReadable(path);
        if (LibSsl.SSL_CTX_load_verify_file(context.Pointer, path) != 1)
        {
            throw TlsContext.Failure($"no certificate could be read from '{path}'", ErrorCode.Invalid);
        }

        // Whoever is in the file is believed, whether or not somebody else vouches for him.
        var store = LibSsl.SSL_CTX_get_cert_store(context.Pointer);
        _ = LibSsl.X509_STORE_set_flags(store, LibSsl.FlagPartialChain);
        if (isServer && options.VerifyPeer)
        {
            var names = LibSsl.SSL_load_client_CA_file(path);
            if (names == 0)
            {
                throw TlsContext.Failure($"no certificate could be read from '{path}'", ErrorCode.Invalid);
            }

            LibSsl.SSL_CTX_set_client_CA_list(context.Pointer, names);
        }

        LoadRevoked(store, Path.Combine(directory, "ca-crl.pem"));
        if (isServer)
        {
            TlsFiles.UseDhParameters(context, Path.Combine(directory, "dh-params.pem"));
        }
    }

    private static void LoadRevoked(nint store, string path)
    {
        if (!Path.Exists(path))
        {
            return;
        }

        TlsFiles.CheckReadable(path);
        var lookup = LibSsl.X509_STORE_add_lookup(store, LibSsl.X509_LOOKUP_file());
        if (lookup == 0 || LibSsl.X509_load_crl_file(lookup, path, LibSsl.FilePem) <= 0)
        {
            throw TlsContext.Failure($"no list of revoked certificates could be read from '{path}'", ErrorCode.Invalid);
        }

        _ = LibSsl.X509_STORE_set_flags(store, LibSsl.FlagCrlCheck);
    }

    private static void LoadOwn(TlsContext context, TlsX509Options options, bool isServer)
    {
        if (options.Directory is not { } directory)
        {
            return;
        }

        var name = isServer ? "server" : "client";
        var (certificate, key) = (Path.Combine(directory, $"{name}-cert.pem"), Path.Combine(directory, $"{name}-key.pem"));
        if (!isServer && !File.Exists(certificate) && !File.Exists(key))
        {
            return;
        }

        TlsFiles.CheckReadable(certificate);
        TlsErrors.Clear();
        if (LibSsl.SSL_CTX_use_certificate_chain_file(context.Pointer, certificate) != 1)
        {
            throw TlsContext.Failure($"no certificate could be used from '{certificate}'", ErrorCode.Invalid);
        }

        UseKey(context, key, options.KeyPassphrase, certificate);
        if (options.SanityCheck)
        {
            CheckOwn(context, certificate, isServer);
        }
    }

    private static void UseKey(TlsContext context, string path, SecretBytes? passphrase, string certificate)
    {
        var key = TlsFiles.ReadKey(path, passphrase);
        try
        {
            if (LibSsl.SSL_CTX_use_PrivateKey(context.Pointer, key) != 1 || LibSsl.SSL_CTX_check_private_key(context.Pointer) != 1)
            {
                throw TlsContext.Failure($"the key in '{path}' does not belong to the certificate in '{certificate}'", ErrorCode.Invalid);
            }
        }
        finally
        {
            LibSsl.EVP_PKEY_free(key); // the context has a reference of its own
        }
    }

    /// <summary>Looks at the own certificate as the peer will: better one line here than a failure of each connection.</summary>
    private static void CheckOwn(TlsContext context, string path, bool isServer)
    {
        nint chain = 0;
        _ = LibSsl.SSL_CTX_get_chain(context.Pointer, GetChain, 0, &chain);
        var check = LibSsl.X509_STORE_CTX_new();
        try
        {
            TlsErrors.Clear();
            var own = LibSsl.SSL_CTX_get0_certificate(context.Pointer);
            if (check == 0 || LibSsl.X509_STORE_CTX_init(check, LibSsl.SSL_CTX_get_cert_store(context.Pointer), own, chain) != 1
                || LibSsl.X509_STORE_CTX_set_purpose(check, isServer ? LibSsl.PurposeServer : LibSsl.PurposeClient) != 1)
            {
                throw TlsContext.Failure($"the certificate in '{path}' cannot be looked at");
            }

            if (LibSsl.X509_verify_cert(check) != 1)
            {
                throw new BlockException(
                    ErrorCode.Invalid,
                    $"TLS: the certificate in '{path}' is of no use to a {(isServer ? "server" : "client")}: "
                        + TlsErrors.OfCertificate(LibSsl.X509_STORE_CTX_get_error(check)),
                    path);
            }
        }
        finally
        {
            LibSsl.X509_STORE_CTX_free(check);
        }
    }
}
