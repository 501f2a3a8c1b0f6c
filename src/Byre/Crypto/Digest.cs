using System.Text;
using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>A hash function of the platform's library, and what is derived with it. Several threads may use it.</summary>
internal sealed unsafe class Digest : IDisposable
{
    private readonly HashKind kind;
    private nint method;

    /// <summary>Finds the function.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: the library, or the function in it, is missing.</exception>
    public Digest(HashKind kind)
    {
        this.kind = kind;
        var name = kind == HashKind.Ripemd160 ? "RIPEMD160" : CryptoNames.NameOf(kind).ToUpperInvariant();
        try
        {
            method = Fetch(name);
            if (method == 0 && CipherFinder.LoadLegacy())
            {
                method = Fetch(name);
            }
        }
        catch (DllNotFoundException e)
        {
            throw CipherFinder.NoLibrary(e);
        }

        if (method == 0)
        {
            LibCrypto.ERR_clear_error();
            throw new BlockException(ErrorCode.NotSupported, $"The hash {CryptoNames.NameOf(kind)} is not available: the system's OpenSSL does not have it");
        }
    }

    /// <summary>Bytes of a result.</summary>
    public int Length => CryptoNames.DigestBytes(kind);

    /// <summary>Hashes.</summary>
    /// <param name="data">What.</param>
    /// <param name="target">Exactly <see cref="Length"/> bytes; may be part of <paramref name="data"/>.</param>
    public void Hash(ReadOnlySpan<byte> data, Span<byte> target)
    {
        ObjectDisposedException.ThrowIf(method == 0, this);
        ArgumentOutOfRangeException.ThrowIfNotEqual(target.Length, Length);
        fixed (byte* source = data, to = target)
        {
            if (LibCrypto.EVP_Digest(source, (nuint)data.Length, to, null, method, 0) != 1)
            {
                throw Failure();
            }
        }
    }

    /// <summary>PBKDF2 with HMAC (RFC 8018, section 5.2).</summary>
    /// <param name="passphrase">The passphrase; may be empty.</param>
    /// <param name="salt">The salt.</param>
    /// <param name="iterations">At least 1.</param>
    /// <param name="key">Filled.</param>
    public void Derive(ReadOnlySpan<byte> passphrase, ReadOnlySpan<byte> salt, int iterations, Span<byte> key)
    {
        ObjectDisposedException.ThrowIf(method == 0, this);
        if (!PasswordRounds.Knows(kind))
        {
            DeriveByLibrary(passphrase, salt, iterations, key);
            return;
        }

        using var blocks = new SecretBytes((key.Length + Length - 1) / Length * Length);
        using var hashed = new SecretBytes(Length);
        DeriveByLibrary(passphrase, salt, 1, blocks.Span);
        if (passphrase.Length > (kind == HashKind.Sha512 ? 128 : 64))
        {
            Hash(passphrase, hashed.Span);
            passphrase = hashed.Span;
        }

        try
        {
            PasswordRounds.Run(kind, passphrase, blocks.Span, iterations);
        }
        catch (EntryPointNotFoundException)
        {
            DeriveByLibrary(passphrase, salt, iterations, blocks.Span);
        }

        blocks.Span[..key.Length].CopyTo(key);
    }

    /// <summary>The same by the library's own function, for any hash.</summary>
    internal void DeriveByLibrary(ReadOnlySpan<byte> passphrase, ReadOnlySpan<byte> salt, int iterations, Span<byte> key)
    {
        byte none = 0;
        fixed (byte* p = passphrase, s = salt, k = key)
        {
            if (LibCrypto.PKCS5_PBKDF2_HMAC(
                p is null ? &none : p, passphrase.Length, s, salt.Length, iterations, method, key.Length, k) != 1)
            {
                throw Failure();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        LibCrypto.EVP_MD_free(method);
        method = 0;
    }

    private static nint Fetch(string name)
    {
        fixed (byte* n = Encoding.ASCII.GetBytes(name + "\0"))
        {
            return LibCrypto.EVP_MD_fetch(0, n, null);
        }
    }

    private BlockException Failure()
    {
        LibCrypto.ERR_clear_error();
        return new BlockException(ErrorCode.NotSupported, $"The system's OpenSSL cannot compute {CryptoNames.NameOf(kind)}");
    }
}
