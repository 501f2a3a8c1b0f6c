using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>Makes contexts for TLS with keys that both sides know. A session of theirs has a <see cref="PskExchange"/>.</summary>
internal static unsafe class PskContext
{
    /// <summary>Makes a context.</summary>
    /// <param name="options">Where the keys are.</param>
    /// <param name="isServer">For a server, not a client.</param>
    /// <exception cref="BlockException">The file of keys cannot be read, or a client's user has no key in it.</exception>
    public static TlsContext Create(TlsPskOptions options, bool isServer)
    {
        var priority = options.Priority is { } text ? TlsPriority.Parse(text) : TlsPriority.Default;
        var context = TlsContext.Create(priority, priority.PskCiphers12, priority.PskSuites13);
        try
        {
            if (isServer)
            {
                TlsFiles.CheckReadable(options.KeyFile);
                if (options.DhParametersFile is { } parameters)
                {
                    TlsFiles.UseDhParameters(context, parameters);
                }

                LibSsl.SSL_CTX_set_psk_server_callback(context.Pointer, &PskExchange.FindForServer);
            }
            else
            {
                using var key = PskKeyFile.Find(options.KeyFile, options.UserName) ?? throw new BlockException(
                    ErrorCode.NotFound, $"TLS: the user '{options.UserName}' has no key in '{options.KeyFile}'", options.KeyFile);
                LibSsl.SSL_CTX_set_psk_client_callback(context.Pointer, &PskExchange.FindForClient);
            }

            return context;
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }
}
