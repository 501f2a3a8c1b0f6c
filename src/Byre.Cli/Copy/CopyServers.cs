namespace Byre.Cli.Copy;

/// <summary>The servers that were started for a copy.</summary>
internal sealed class CopyServers : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly List<SubServer> servers = [];

    /// <summary>Starts one.</summary>
    /// <exception cref="IOException">It cannot be started.</exception>
    public SubServer Start(CopyEnd end)
    {
        var server = SubServer.Start(end.Words);
        lock (gate)
        {
            servers.Add(server);
        }

        return server;
    }

    /// <summary>The program ends at once: asks all of them to end, too, and does not wait.</summary>
    public void StopAll()
    {
        lock (gate)
        {
            servers.ForEach(s => s.Stop());
        }
    }

    /// <summary>Ends all of them and waits until they have.</summary>
    /// <exception cref="IOException">One had to be killed.</exception>
    public async ValueTask DisposeAsync()
    {
        SubServer[] all;
        lock (gate)
        {
            all = [.. servers];
        }

        // The target's last: what it was given may come from the source's until then.
        foreach (var server in all)
        {
            await server.DisposeAsync().ConfigureAwait(false);
        }
    }
}
