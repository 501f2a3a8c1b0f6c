namespace Byre.Crypto;

/// <summary>How the initialisation vector of a sector is made.</summary>
public enum IvKind
{
    /// <summary>The number of the sector in 32 bits, little-endian, and zeroes.</summary>
    Plain,

    /// <summary>The number of the sector in 64 bits, little-endian, and zeroes.</summary>
    Plain64,

    /// <summary>The number of the sector, encrypted with a hash of the key.</summary>
    Essiv,
}
