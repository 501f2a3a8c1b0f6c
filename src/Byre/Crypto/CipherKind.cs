namespace Byre.Crypto;

/// <summary>The block ciphers that encrypted images name; the number is the length of the key in bits.</summary>
public enum CipherKind
{
    /// <summary>AES with keys of 128 bits.</summary>
    Aes128,

    /// <summary>AES with keys of 192 bits.</summary>
    Aes192,

    /// <summary>AES with keys of 256 bits.</summary>
    Aes256,

    /// <summary>CAST-128 with keys of 128 bits; its blocks have 8 bytes.</summary>
    Cast5128,

    /// <summary>Serpent with keys of 128 bits.</summary>
    Serpent128,

    /// <summary>Serpent with keys of 192 bits.</summary>
    Serpent192,

    /// <summary>Serpent with keys of 256 bits.</summary>
    Serpent256,

    /// <summary>Twofish with keys of 128 bits.</summary>
    Twofish128,

    /// <summary>Twofish with keys of 192 bits.</summary>
    Twofish192,

    /// <summary>Twofish with keys of 256 bits.</summary>
    Twofish256,
}
