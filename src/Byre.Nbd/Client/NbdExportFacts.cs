using Byre.Nbd.Protocol;

namespace Byre.Nbd.Client;

/// <summary>What a server says of an export in the handshake (sections "NBD_OPT_INFO and NBD_OPT_GO", "NBD_OPT_EXPORT_NAME").</summary>
public sealed record NbdExportFacts
{
    /// <summary>Bytes, 0 to 2^63 - 1.</summary>
    public long Size { get; init; }

    /// <summary>What it can do, without flags that mean nothing on this connection.</summary>
    public NbdTransmissionFlags Flags { get; init; }

    /// <summary>The sizes of requests it wants; null where it has not said.</summary>
    public NbdBlockSize? BlockSize { get; init; }

    /// <summary>What its content is when the client connects; null where the server has not said.</summary>
    public NbdInitialState? InitialState { get; init; }

    /// <summary>A text about it; null where the server has not said.</summary>
    public string? Description { get; init; }

    /// <summary>The name the server knows it by; null where the server has not said.</summary>
    public string? CanonicalName { get; init; }

    /// <summary>A feature the server offers.</summary>
    public bool Has(NbdTransmissionFlags flag) => (Flags & flag) != 0;
}
