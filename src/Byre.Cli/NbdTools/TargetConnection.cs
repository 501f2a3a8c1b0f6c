using Byre.Nbd.Client;

namespace Byre.Cli.NbdTools;

/// <summary>A connection to a server, and the server where it was started for it.</summary>
internal sealed class TargetConnection(NbdClient client, SubServer? server) : IAsyncDisposable
{
    /// <summary>The connection.</summary>
    public NbdClient Client => client;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await client.DisposeAsync().ConfigureAwait(false);
        if (server is not null)
        {
            await server.DisposeAsync().ConfigureAwait(false);
        }
    }
}
