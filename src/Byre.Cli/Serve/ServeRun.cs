using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Nbd.Server;
using Byre.Nodes;

namespace Byre.Cli.Serve;

/// <summary>One run of a server: opens the images, listens, and closes everything in order when it is time to end.</summary>
internal sealed class ServeRun(ServeOptions options, ObjectStore objects, Action<string> tell)
{
    /// <summary>Serves until it is asked to stop or, unless it is persistent, the last client has left.</summary>
    /// <param name="asked">Completes when it is asked to stop.</param>
    /// <param name="ready">Called once clients can connect.</param>
    /// <returns>The exit status.</returns>
    /// <exception cref="ImgFailure">It could not begin; everything is closed again.</exception>
    public async Task<int> RunAsync(Task asked, Action ready)
    {
        var exports = new List<OpenExport>();
        var status = 0;
        try
        {
            var security = options.TlsCredentials is { } id ? objects.TlsServer(id) : null;
            var authorize = options.TlsAuthorization is { } rules ? objects.Authorization(rules) : null;
            if (!options.IsStdio)
            {
                ServeSockets.Check(options);
            }

            if (options.PidFile is { } place)
            {
                PidFile.Check(place);
            }

            foreach (var wanted in options.Exports)
            {
                exports.Add(await OpenExport.OpenAsync(wanted, objects, tell, severalConnections: options.MaxConnections != 1).ConfigureAwait(false));
            }

            var server = new NbdServer(new NbdServerOptions
            {
                MaxConnections = options.MaxConnections,
                HandshakeLimit = options.HandshakeLimit,
                AlignContexts = options.AlignContexts,
                Security = security,
                Authorize = authorize,
                Log = tell,
                LogsFailedRequests = options.IsVerbose,
            });
            await using (server.ConfigureAwait(false))
            {
                exports.ForEach(e => server.Exports.Add(e.Export));
                await (options.IsStdio ? ServeStandardStreamsAsync(server, asked, ready) : ServeSocketsAsync(server, asked, ready)).ConfigureAwait(false);
            }
        }
        finally
        {
            exports.Reverse();
            foreach (var export in exports)
            {
                status |= await CloseAsync(export).ConfigureAwait(false) ? 0 : 1;
            }
        }

        return status;
    }

    private async Task ServeSocketsAsync(NbdServer server, Task asked, Action ready)
    {
        using var sockets = ServeSockets.Open(options);
        try
        {
            // Who finds that the server listens finds its number, too.
            if (options.PidFile is { } path)
            {
                PidFile.Write(path);
            }

            sockets.Listen();
        }
        catch
        {
            sockets.Close();
            throw;
        }

        foreach (var socket in sockets.Sockets)
        {
            server.Listen(socket);
        }

        ready();
        await (options.IsPersistent ? asked : Task.WhenAny(asked, server.WhenIdleAfterFirstClient())).ConfigureAwait(false);
    }

    private async Task ServeStandardStreamsAsync(NbdServer server, Task asked, Action ready)
    {
        var left = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        server.ConnectionsChanged += count =>
        {
            if (count == 0)
            {
                left.TrySetResult();
            }
        };
        if (options.PidFile is { } path)
        {
            PidFile.Write(path);
        }

        var streams = StandardStreams.Open();
        server.Accept(streams.Channel);
        ready();
        await Task.WhenAny(asked, left.Task).ConfigureAwait(false);
        await server.DisposeAsync().ConfigureAwait(false);
        streams.Finish();
    }

    /// <summary>False where what was written could not be kept, which is told.</summary>
    private async Task<bool> CloseAsync(OpenExport export)
    {
        try
        {
            await export.DisposeAsync().ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is ImgFailure or BlockException or IOException)
        {
            tell(e.Message);
            return false;
        }
    }
}
