using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>What a server offers to all of its clients, and what it bears from them. Validated when a server is made.</summary>
public sealed record NbdServerOptions
{
    /// <summary>
    /// The most connections at a time, those in their handshake included; further ones wait in the system's queue until others
    /// leave. 0 for no limit: then only the system's descriptors bound them. A connection at rest costs some tens of KiB and one
    /// descriptor, with TLS a thread and three.
    /// </summary>
    public int MaxConnections { get; init; } = 1024;

    /// <summary>How long a client may take until it has chosen an export; zero for no limit.</summary>
    public TimeSpan HandshakeLimit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The most requests of one client that are in flight; further ones stay in its socket. At least 1.</summary>
    public int MaxInFlightRequests { get; init; } = 128;

    /// <summary>
    /// The most bytes that the requests of one client that are in flight hold in buffers; one request may always be in flight.
    /// </summary>
    public long MaxInFlightBytes { get; init; } = 64 << 20;

    /// <summary>
    /// The most bytes that the requests of all clients together hold in buffers. Where they are used up nobody waits: each client
    /// has one request in flight, long reads and writes go through a buffer of 256 KiB, and answers to BLOCK_STATUS are short.
    /// </summary>
    public long MaxTotalInFlightBytes { get; init; } = 1L << 30;

    /// <summary>The longest payload of a request or of a reply's data, in bytes: 64 KiB to 256 MiB.</summary>
    public int MaxPayload { get; init; } = NbdLimits.DefaultMaxPayload;

    /// <summary>Structured replies are offered.</summary>
    public bool StructuredReplies { get; init; } = true;

    /// <summary>Extended headers are offered.</summary>
    public bool ExtendedHeaders { get; init; } = true;

    /// <summary>The extents of all metadata contexts in one reply have the same lengths.</summary>
    public bool AlignContexts { get; init; }

    /// <summary>TLS, or null where there is none.</summary>
    public IServerSecurity? Security { get; init; }

    /// <summary>
    /// Decides whether a client may use the server, by the name it has shown in TLS (null where it has shown none). Null:
    /// everybody may.
    /// </summary>
    public Func<string?, bool>? Authorize { get; init; }

    /// <summary>Takes one line for a person about clients that break the protocol and requests that fail; from any thread.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>Requests that fail are told to <see cref="Log"/>, too. Their clients learn of them in any case.</summary>
    public bool LogsFailedRequests { get; init; } = true;

    /// <summary>Throws where a number is out of its range.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is.</exception>
    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(MaxConnections);
        ArgumentOutOfRangeException.ThrowIfLessThan(HandshakeLimit, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlightRequests, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlightBytes, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(MaxTotalInFlightBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxPayload, 64 << 10);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxPayload, 256 << 20);
    }
}
