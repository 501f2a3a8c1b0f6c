using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>How sectors are encrypted: a cipher, its mode, and how the vector of each sector is made.</summary>
/// <param name="Cipher">The cipher.</param>
/// <param name="Mode">Its mode.</param>
/// <param name="Iv">How vectors are made; without meaning for <see cref="ModeKind.Ecb"/>.</param>
/// <param name="IvHash">The hash for <see cref="IvKind.Essiv"/>, else null.</param>
public sealed record CipherSpec(CipherKind Cipher, ModeKind Mode, IvKind Iv, HashKind? IvHash)
{
    /// <summary>What is used unless something else is asked for: aes-256, xts, plain64.</summary>
    public static CipherSpec Default { get; } = new(CipherKind.Aes256, ModeKind.Xts, IvKind.Plain64, null);

    /// <summary>Bytes of the whole key: XTS has two.</summary>
    public int KeyBytes => CryptoNames.KeyBytes(Cipher) * (Mode == ModeKind.Xts ? 2 : 1);

    /// <summary>Bytes of a vector; 0 where there is none.</summary>
    public int IvBytes => Mode == ModeKind.Ecb ? 0 : CryptoNames.BlockBytes(Cipher);

    /// <summary>The cipher that makes vectors: one whose key is as long as the digest; null where none is used.</summary>
    internal CipherKind? IvCipher => Iv == IvKind.Essiv && IvHash is { } hash
        ? CryptoNames.FindCipher(CryptoNames.FamilyOf(Cipher), CryptoNames.DigestBytes(hash)) : null;

    /// <summary>Throws where the parts do not go together.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>.</exception>
    public void Validate()
    {
        if (Mode == ModeKind.Xts && CryptoNames.BlockBytes(Cipher) != 16)
        {
            throw Invalid($"The cipher {CryptoNames.NameOf(Cipher)} has blocks of 8 bytes: the mode xts needs blocks of 16");
        }

        if (Iv != IvKind.Essiv)
        {
            return;
        }

        if (IvHash is not { } hash)
        {
            throw Invalid("Vectors by essiv need a hash");
        }

        if (IvCipher is not { } cipher || CryptoNames.BlockBytes(cipher) != 16)
        {
            throw Invalid(
                $"Vectors by essiv with {CryptoNames.NameOf(hash)} need a cipher with a key of {CryptoNames.DigestBytes(hash)} bytes, "
                + $"and {CryptoNames.FamilyOf(Cipher)} has none");
        }
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
