using Byre.Blockdev;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Cli.NbdTools;

/// <summary>The server that a tool looks at.</summary>
internal sealed class NbdTarget
{
    private readonly IReadOnlyList<string>? command;

    /// <summary>A server that runs somewhere.</summary>
    public NbdTarget(NbdUri uri) => Uri = uri;

    /// <summary>A server that is started for each connection, and ended with it: some serve one client only.</summary>
    public NbdTarget(IReadOnlyList<string> command) => this.command = command;

    /// <summary>Its URI; null for a command.</summary>
    public NbdUri? Uri { get; }

    /// <summary>The export that is asked for.</summary>
    public string ExportName => Uri?.ExportName ?? "";

    /// <summary>Connects.</summary>
    /// <param name="change">What is wanted of the connection, beyond where it leads.</param>
    /// <exception cref="BlockException">There is no connection.</exception>
    /// <exception cref="IOException">The command cannot be started.</exception>
    public async Task<TargetConnection> ConnectAsync(Func<NbdClientOptions, NbdClientOptions> change)
    {
        using var security = Uri is { } uri ? NbdUriSecurity.For(uri) : null;
        var server = command is null ? null : SubServer.Start(command);
        try
        {
            var options = new NbdClientOptions
            {
                Address = server is null ? Uri!.Address : NbdAddress.Unix(server.SocketPath),
                ServerTitle = server?.Title,
                ExportName = ExportName,
                Security = security,
                TlsHostName = Uri?.TlsHostName,
            };
            var client = await NbdClient.ConnectAsync(change(options)).ConfigureAwait(false);
            server?.RemoveSocket();
            return new TargetConnection(client, server);
        }
        catch when (server is not null)
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
