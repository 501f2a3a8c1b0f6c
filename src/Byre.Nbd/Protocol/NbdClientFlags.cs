namespace Byre.Nbd.Protocol;

/// <summary>A client's answer to <see cref="NbdHandshakeFlags"/> (section "Client flags").</summary>
[Flags]
public enum NbdClientFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The client reads replies to options.</summary>
    FixedNewStyle = 1 << 0,

    /// <summary>The zeroes after the reply to EXPORT_NAME are to be left out.</summary>
    NoZeroes = 1 << 1,
}
