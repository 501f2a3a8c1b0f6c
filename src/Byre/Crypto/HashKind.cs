namespace Byre.Crypto;

/// <summary>The hash functions that encrypted images name.</summary>
public enum HashKind
{
    /// <summary>MD5, 16 bytes.</summary>
    Md5,

    /// <summary>SHA-1, 20 bytes.</summary>
    Sha1,

    /// <summary>SHA-224, 28 bytes.</summary>
    Sha224,

    /// <summary>SHA-256, 32 bytes.</summary>
    Sha256,

    /// <summary>SHA-384, 48 bytes.</summary>
    Sha384,

    /// <summary>SHA-512, 64 bytes.</summary>
    Sha512,

    /// <summary>RIPEMD-160, 20 bytes.</summary>
    Ripemd160,
}
