using System.Text;
using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>Finds ciphers in the libraries of the platform.</summary>
internal static unsafe class CipherFinder
{
    /// <summary>A cipher with its key.</summary>
    /// <param name="cipher">Which.</param>
    /// <param name="mode">Its mode.</param>
    /// <param name="key">The key; two for XTS.</param>
    /// <param name="encrypts">It encrypts, else it decrypts.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: no library has it.</exception>
    public static NativeCipher Open(CipherKind cipher, ModeKind mode, ReadOnlySpan<byte> key, bool encrypts)
    {
        var ivBytes = mode == ModeKind.Ecb ? 0 : CryptoNames.BlockBytes(cipher);
        var missing = $"The cipher {CryptoNames.NameOf(cipher)} in the mode {CryptoNames.NameOf(mode)} is not available";
        if (OpenSslName(cipher) is { } family)
        {
            try
            {
                var found = Fetch(family, mode);
                if (found != 0)
                {
                    return new OpenSslCipher(found, key, ivBytes, encrypts);
                }
            }
            catch (DllNotFoundException e)
            {
                throw NoLibrary(e);
            }
        }

        var algorithm = GcryptNumber(cipher);
        if (algorithm == 0)
        {
            throw new BlockException(ErrorCode.NotSupported, $"{missing}: the system's libraries do not have it");
        }

        try
        {
            return new GcryptCipher(algorithm, mode, key, ivBytes, encrypts, missing);
        }
        catch (DllNotFoundException e)
        {
            throw new BlockException(ErrorCode.NotSupported, $"{missing}: it needs libgcrypt (libgcrypt.so.20), which is not installed", inner: e);
        }
    }

    /// <summary>Loads OpenSSL's old algorithms, beside the others.</summary>
    /// <returns>They are there.</returns>
    public static bool LoadLegacy()
    {
        fixed (byte* name = "legacy\0"u8)
        {
            return LibCrypto.OSSL_PROVIDER_try_load(0, name, 1) != 0;
        }
    }

    /// <summary>What is said where there is no OpenSSL.</summary>
    public static BlockException NoLibrary(Exception inner) =>
        new(ErrorCode.NotSupported, "Encrypted images need OpenSSL 3 (libcrypto.so.3), which is not installed", inner: inner);

    private static string? OpenSslName(CipherKind cipher) => cipher switch
    {
        CipherKind.Aes128 => "AES-128",
        CipherKind.Aes192 => "AES-192",
        CipherKind.Aes256 => "AES-256",
        CipherKind.Cast5128 => "CAST5",
        _ => null,
    };

    // Of gcrypt.h.
    private static int GcryptNumber(CipherKind cipher) => cipher switch
    {
        CipherKind.Aes192 => 8, // OpenSSL has no XTS with it
        CipherKind.Cast5128 => 3,
        CipherKind.Serpent128 => 304,
        CipherKind.Serpent192 => 305,
        CipherKind.Serpent256 => 306,
        CipherKind.Twofish128 => 303,
        CipherKind.Twofish256 => 10,
        _ => 0,
    };

    private static nint Fetch(string family, ModeKind mode)
    {
        fixed (byte* name = Encoding.ASCII.GetBytes($"{family}-{CryptoNames.NameOf(mode).ToUpperInvariant()}\0"))
        {
            var found = LibCrypto.EVP_CIPHER_fetch(0, name, null);
            if (found == 0 && family == "CAST5" && LoadLegacy())
            {
                found = LibCrypto.EVP_CIPHER_fetch(0, name, null);
            }

            if (found == 0)
            {
                LibCrypto.ERR_clear_error();
            }

            return found;
        }
    }
}
