using Byre.Nbd.Protocol;
using Byre.Nbd.Server;

namespace Byre.Tests.Nbd.Server;

/// <summary>One way in which a client is hostile.</summary>
/// <param name="Run">What it does. The clients it leaves open stay so until the server has ended.</param>
internal sealed record Attack(Action<ServedDisk> Run)
{
    /// <summary>The server that it is done to.</summary>
    public NbdServerOptions Options { get; init; } = new();

    /// <summary>The export may not be written to.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>A part of the disk, in bytes from its start, that the attack may have written to.</summary>
    public int Written { get; init; }

    /// <summary>Done by a client that has chosen the export.</summary>
    public static Attack Using(NbdHeaderStyle style, Action<RawClient> run, params string[] contexts) =>
        new(disk => run(disk.Use(style, contexts)));

    /// <summary>Done by a client in its handshake.</summary>
    public static Attack Negotiating(Action<RawClient> run) => new(disk => run(disk.Negotiate()));
}
