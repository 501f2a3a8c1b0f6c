using Byre.Nbd.Transport;

namespace Byre.Nbd.Client;

/// <summary>How a client connects to a server, and what it asks for in the handshake.</summary>
public sealed record NbdClientOptions
{
    /// <summary>Where the server listens.</summary>
    public required NbdAddress Address { get; init; }

    /// <summary>What failures call the server; null for its address.</summary>
    public string? ServerTitle { get; init; }

    /// <summary>The export's name, empty for the server's default export; at most 4096 bytes of UTF-8.</summary>
    public string ExportName { get; init; } = "";

    /// <summary>Asks for structured replies where there are no extended headers. Metadata contexts need one of them.</summary>
    public bool RequestStructured { get; init; } = true;

    /// <summary>Asks for extended headers, and goes on without where the server has none.</summary>
    public bool RequestExtended { get; init; } = true;

    /// <summary>The names of the metadata contexts to select, in full, at most 64; those the server lacks are left out.</summary>
    public IReadOnlyList<string> MetaContexts { get; init; } = [];

    /// <summary>Secures the connection; it fails where the server cannot. Null for a plain one.</summary>
    public IClientSecurity? Security { get; init; }

    /// <summary>The name the server's certificate must be for; null for the address's host.</summary>
    public string? TlsHostName { get; init; }

    /// <summary>How long connecting and the handshake may take together, and each option in option mode; zero for no limit.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long the server may say nothing while it owes replies; then the connection counts as lost. Zero for no limit.
    /// </summary>
    public TimeSpan SilenceLimit { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Connecting ends before an export is chosen: options can be sent, and <see cref="NbdClient.GoAsync"/> or
    /// <see cref="NbdClient.DisconnectAsync"/> end that.
    /// </summary>
    public bool OptionMode { get; init; }

    /// <summary>The most requests the server is sent before it has answered some, 1 to 256; more wait here.</summary>
    public int MaxInFlight { get; init; } = 128;
}
