namespace Byre.Nbd.Server;

/// <summary>What a connection's thread does next.</summary>
internal enum ConnectionStep
{
    /// <summary>It is given back until the client sends something.</summary>
    Park,

    /// <summary>The handshake is over: requests come.</summary>
    Transmit,

    /// <summary>The connection is at its end.</summary>
    Close,
}
