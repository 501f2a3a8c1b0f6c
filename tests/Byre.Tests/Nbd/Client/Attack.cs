using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Something a server can do to a client.</summary>
/// <param name="Serve">What it does.</param>
/// <param name="Use">What the client does meanwhile.</param>
/// <param name="Code">How that ends.</param>
/// <param name="Says">What the message holds.</param>
internal sealed record Attack(Action<FakePeer> Serve, Func<NbdClient, Task> Use, ErrorCode Code, string Says)
{
    /// <summary>How the client connects.</summary>
    public Func<NbdClientOptions, NbdClientOptions> Options { get; init; } = options => options;
}
