namespace Byre.Nbd.Protocol;

/// <summary>What a newstyle server says of its handshake (section "Handshake flags").</summary>
[Flags]
public enum NbdHandshakeFlags : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Every option gets a reply.</summary>
    FixedNewStyle = 1 << 0,

    /// <summary>The zeroes after the reply to EXPORT_NAME can be left out.</summary>
    NoZeroes = 1 << 1,
}
