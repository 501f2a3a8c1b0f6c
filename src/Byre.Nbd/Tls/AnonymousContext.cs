using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>Makes contexts for TLS without any credentials (QEMU's tls-creds-anon): it keeps out who only listens.</summary>
internal static class AnonymousContext
{
    /// <summary>Makes a context.</summary>
    /// <param name="options">Priority and parameters.</param>
    /// <param name="isServer">For a server, not a client.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotSupported"/>: the priority leaves no TLS 1.2, and 1.3 has nothing without credentials.
    /// </exception>
    public static TlsContext Create(TlsAnonymousOptions options, bool isServer)
    {
        var priority = options.Priority is { } text ? TlsPriority.Parse(text) : TlsPriority.Default;
        if (priority.LeastVersion > LibSsl.Tls12)
        {
            throw new BlockException(ErrorCode.NotSupported, $"TLS priority '{options.Priority}': TLS without credentials is of version 1.2");
        }

        var context = TlsContext.Create(priority with { MostVersion = LibSsl.Tls12 }, priority.AnonymousCiphers12, priority.Suites13);
        try
        {
            if (isServer && options.DhParametersFile is { } parameters)
            {
                TlsFiles.UseDhParameters(context, parameters);
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
