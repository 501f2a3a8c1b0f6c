using Byre.Nbd.Server;
using Byre.Nbd.Transport;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Server;

/// <summary>A server with one export, "disk", and what it should hold.</summary>
internal sealed class ServedDisk : IAsyncDisposable
{
    private readonly List<RawClient> clients = [];

    /// <summary>Serves a disk in memory, full of random bytes.</summary>
    public ServedDisk(
        NbdServerOptions? options = null, Func<NbdExportOptions, NbdExportOptions>? change = null, int length = 1 << 20, PermissionSet? permissions = null)
        : this(null, options, change, length, permissions)
    {
    }

    /// <summary>Serves a node.</summary>
    public ServedDisk(
        BlockNode? node, NbdServerOptions? options, Func<NbdExportOptions, NbdExportOptions>? change = null, int length = 1 << 20, PermissionSet? permissions = null)
    {
        Content = new byte[length];
        new Random(5).NextBytes(Content);
        Edge = new BlockEdge(node ?? new MemoryNode(Content), ChildRole.None, permissions ?? EdgeTests.Everything);
        Server = new NbdServer(WithoutHaste(options ?? new NbdServerOptions()) with { Log = Log.Enqueue });
        var export = new NbdExportOptions { Name = "disk", Description = "a disk" };
        Export = new NbdExport(change?.Invoke(export) ?? export, Edge);
        Server.Exports.Add(Export);
    }

    public NbdServer Server { get; }

    public NbdExport Export { get; }

    public BlockEdge Edge { get; }

    public byte[] Content { get; }

    /// <summary>What the server has said of its clients.</summary>
    public System.Collections.Concurrent.ConcurrentQueue<string> Log { get; } = new();

    /// <summary>Connects a client, which has sent nothing yet.</summary>
    public RawClient Connect()
    {
        var (mine, theirs) = SocketChannel.CreatePair();
        Server.Accept(theirs);
        var client = new RawClient(mine);
        clients.Add(client);
        return client;
    }

    /// <summary>Connects a client that has sent its flags.</summary>
    public RawClient Negotiate(uint flags = 3)
    {
        var client = Connect();
        client.Greet(flags);
        return client;
    }

    /// <summary>Connects a client that uses the export.</summary>
    public RawClient Use(Byre.Nbd.Protocol.NbdHeaderStyle style, params string[] contexts)
    {
        var client = Negotiate();
        client.Enter("disk", style, contexts);
        return client;
    }

    /// <summary>Ends the connections of all clients but one.</summary>
    public void DropClients(RawClient exceptFor)
    {
        foreach (var client in clients)
        {
            if (client != exceptFor)
            {
                client.Dispose();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        var ending = EndAsync();
        while (!ending.IsCompleted && Edge.Node is GatedNode gated)
        {
            // A test that has failed leaves requests behind, which the server and the edge would wait for.
            foreach (var request in gated.InFlight)
            {
                gated.Complete(request);
            }

            await Task.WhenAny(ending, Task.Delay(5));
        }

        await ending;
    }

    private async Task EndAsync()
    {
        await Server.DisposeAsync();
        foreach (var client in clients)
        {
            client.Dispose();
        }

        await Edge.DisposeAsync();
    }

    /// <summary>
    /// The usual limit of handshakes is shorter than a test's patience: it would end the connections that should end for what
    /// they have sent, and nobody would see the difference.
    /// </summary>
    private static NbdServerOptions WithoutHaste(NbdServerOptions options) =>
        options.HandshakeLimit == new NbdServerOptions().HandshakeLimit ? options with { HandshakeLimit = TimeSpan.FromMinutes(2) } : options;
}
