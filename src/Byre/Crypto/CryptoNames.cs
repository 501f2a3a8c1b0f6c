using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>The names that options and reports have for ciphers, modes, vectors and hashes; QEMU's.</summary>
public static class CryptoNames
{
    private static readonly (CipherKind Kind, string Name, int KeyBytes, int BlockBytes)[] Ciphers =
    [
        (CipherKind.Aes128, "aes-128", 16, 16),
        (CipherKind.Aes192, "aes-192", 24, 16),
        (CipherKind.Aes256, "aes-256", 32, 16),
        (CipherKind.Cast5128, "cast5-128", 16, 8),
        (CipherKind.Serpent128, "serpent-128", 16, 16),
        (CipherKind.Serpent192, "serpent-192", 24, 16),
        (CipherKind.Serpent256, "serpent-256", 32, 16),
        (CipherKind.Twofish128, "twofish-128", 16, 16),
        (CipherKind.Twofish192, "twofish-192", 24, 16),
        (CipherKind.Twofish256, "twofish-256", 32, 16),
    ];

    private static readonly (HashKind Kind, string Name, int Bytes)[] Hashes =
    [
        (HashKind.Md5, "md5", 16),
        (HashKind.Sha1, "sha1", 20),
        (HashKind.Sha224, "sha224", 28),
        (HashKind.Sha256, "sha256", 32),
        (HashKind.Sha384, "sha384", 48),
        (HashKind.Sha512, "sha512", 64),
        (HashKind.Ripemd160, "ripemd160", 20),
    ];

    private static readonly (ModeKind Kind, string Name)[] Modes =
        [(ModeKind.Ecb, "ecb"), (ModeKind.Cbc, "cbc"), (ModeKind.Xts, "xts"), (ModeKind.Ctr, "ctr")];

    private static readonly (IvKind Kind, string Name)[] Ivs =
        [(IvKind.Plain, "plain"), (IvKind.Plain64, "plain64"), (IvKind.Essiv, "essiv")];

    /// <summary>The name of a cipher: "aes-256".</summary>
    public static string NameOf(CipherKind kind) => Ciphers[(int)kind].Name;

    /// <summary>The name of a hash function: "sha256".</summary>
    public static string NameOf(HashKind kind) => Hashes[(int)kind].Name;

    /// <summary>The name of a mode: "xts".</summary>
    public static string NameOf(ModeKind kind) => Modes[(int)kind].Name;

    /// <summary>The name of a way to make initialisation vectors: "plain64".</summary>
    public static string NameOf(IvKind kind) => Ivs[(int)kind].Name;

    /// <summary>The cipher of a name.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: there is none.</exception>
    public static CipherKind ParseCipher(string name)
    {
        foreach (var entry in Ciphers)
        {
            if (entry.Name == name)
            {
                return entry.Kind;
            }
        }

        throw Unknown("cipher", name, Ciphers.Select(c => c.Name));
    }

    /// <summary>The hash function of a name.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: there is none.</exception>
    public static HashKind ParseHash(string name) =>
        TryParseHash(name) ?? throw Unknown("hash", name, Hashes.Select(h => h.Name));

    /// <summary>The mode of a name.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: there is none.</exception>
    public static ModeKind ParseMode(string name) =>
        TryParseMode(name) ?? throw Unknown("cipher mode", name, Modes.Select(m => m.Name));

    /// <summary>The way to make initialisation vectors of a name.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: there is none.</exception>
    public static IvKind ParseIv(string name) =>
        TryParseIv(name) ?? throw Unknown("initialisation vector generator", name, Ivs.Select(i => i.Name));

    /// <summary>Bytes of a cipher's key.</summary>
    public static int KeyBytes(CipherKind kind) => Ciphers[(int)kind].KeyBytes;

    /// <summary>Bytes of a cipher's block.</summary>
    public static int BlockBytes(CipherKind kind) => Ciphers[(int)kind].BlockBytes;

    /// <summary>Bytes that a hash function gives.</summary>
    public static int DigestBytes(HashKind kind) => Hashes[(int)kind].Bytes;

    internal static HashKind? TryParseHash(string name) =>
        Array.FindIndex(Hashes, h => h.Name == name) is >= 0 and var i ? Hashes[i].Kind : null;

    internal static ModeKind? TryParseMode(string name) =>
        Array.FindIndex(Modes, m => m.Name == name) is >= 0 and var i ? Modes[i].Kind : null;

    internal static IvKind? TryParseIv(string name) =>
        Array.FindIndex(Ivs, v => v.Name == name) is >= 0 and var i ? Ivs[i].Kind : null;

    /// <summary>The cipher of a family ("aes", "serpent") that has keys of a length, or null.</summary>
    internal static CipherKind? FindCipher(string family, int keyBytes)
    {
        foreach (var entry in Ciphers)
        {
            if (entry.KeyBytes == keyBytes && entry.Name.Length > family.Length && entry.Name[family.Length] == '-'
                && entry.Name.StartsWith(family, StringComparison.Ordinal))
            {
                return entry.Kind;
            }
        }

        return null;
    }

    /// <summary>The name without the length of the key: "aes".</summary>
    internal static string FamilyOf(CipherKind kind) => NameOf(kind)[..NameOf(kind).IndexOf('-', StringComparison.Ordinal)];

    private static BlockException Unknown(string what, string name, IEnumerable<string> known) =>
        new(ErrorCode.Invalid, $"There is no {what} '{name}' ({string.Join(", ", known)})");
}
