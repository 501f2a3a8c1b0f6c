using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>A cipher of OpenSSL: one context, whose key stays while the vector changes.</summary>
internal sealed unsafe class OpenSslCipher : NativeCipher
{
    private nint context;

    /// <summary>Sets the key.</summary>
    /// <param name="cipher">OpenSSL's cipher; given back here.</param>
    /// <param name="key">The key.</param>
    /// <param name="ivBytes">Bytes of a vector.</param>
    /// <param name="encrypts">The direction.</param>
    public OpenSslCipher(nint cipher, ReadOnlySpan<byte> key, int ivBytes, bool encrypts)
        : base(ivBytes)
    {
        context = LibCrypto.EVP_CIPHER_CTX_new();
        fixed (byte* k = key)
        {
            var done = context != 0 && LibCrypto.EVP_CipherInit_ex(context, cipher, 0, k, null, encrypts ? 1 : 0) == 1
                && LibCrypto.EVP_CIPHER_CTX_set_padding(context, 0) == 1;
            LibCrypto.EVP_CIPHER_free(cipher); // the context has a reference of its own
            if (!done)
            {
                LibCrypto.ERR_clear_error();
                Dispose();
                throw new BlockException(ErrorCode.NotSupported, "The system's OpenSSL refuses the key of the image");
            }
        }
    }

    /// <inheritdoc/>
    public override void Run(byte* iv, byte* source, byte* target, int length)
    {
        int written;
        if ((iv is not null && LibCrypto.ResetIv(context, 0, 0, null, iv, -1) != 1)
            || LibCrypto.UpdateSector(context, target, &written, source, length) != 1 || written != length)
        {
            LibCrypto.ERR_clear_error();
            throw new BlockException(ErrorCode.Io, "The system's OpenSSL failed to encrypt or decrypt a sector");
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        LibCrypto.EVP_CIPHER_CTX_free(context); // overwrites the key
        context = 0;
    }
}
