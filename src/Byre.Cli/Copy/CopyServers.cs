using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Nodes;

namespace Byre.Cli.Copy;

/// <summary>The servers that were started for a copy.</summary>
internal sealed class CopyServers : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly List<SubServer> servers = [];
    private bool isOver;

    /// <summary>Starts one and opens what it serves.</summary>
    /// <param name="end">The end whose command it is.</param>
    /// <param name="open">Opens the image that a URI names, from a server that failures call so.</param>
    /// <exception cref="IOException">It cannot be started.</exception>
    /// <exception cref="ImgFailure">What it serves cannot be opened: the message names the command.</exception>
    public async ValueTask<OpenImage> OpenAsync(CopyEnd end, Func<string, string, ValueTask<OpenImage>> open)
    {
        SubServer server;
        lock (gate)
        {
            // Whoever ends all of them waits for one that is just being started, and none is started after that.
            server = isOver ? throw new IOException("The program is ending") : SubServer.Start(end.Words);
            servers.Add(server);
        }

        try
        {
            return await open(server.Uri, server.Title).ConfigureAwait(false);
        }
        catch (ImgFailure e) when (e.InnerException is BlockException cause)
        {
            throw new ImgFailure(cause.Message, 1, cause); // without the name of a socket that nobody has to know
        }
    }

    /// <summary>The program ends at once: asks all of them to end, too, and does not wait.</summary>
    public void StopAll()
    {
        lock (gate)
        {
            isOver = true;
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
        IOException? failure = null;
        foreach (var server in all)
        {
            try
            {
                await server.DisposeAsync().ConfigureAwait(false);
            }
            catch (IOException e)
            {
                failure ??= e; // the other ends all the same
            }
        }

        if (failure is not null)
        {
            throw failure;
        }
    }
}
