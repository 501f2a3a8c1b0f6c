using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>A cipher of libgcrypt.</summary>
internal sealed unsafe class GcryptCipher : NativeCipher
{
    private readonly ModeKind mode;
    private readonly int ivBytes;
    private readonly bool encrypts;
    private nint handle;

    /// <summary>Sets the key.</summary>
    /// <param name="algorithm">libgcrypt's number of the cipher.</param>
    /// <param name="mode">The mode.</param>
    /// <param name="key">The key.</param>
    /// <param name="ivBytes">Bytes of a vector.</param>
    /// <param name="encrypts">The direction.</param>
    /// <param name="missing">What to say where the library does not have it.</param>
    public GcryptCipher(int algorithm, ModeKind mode, ReadOnlySpan<byte> key, int ivBytes, bool encrypts, string missing)
        : base(ivBytes)
    {
        this.mode = mode;
        this.ivBytes = ivBytes;
        this.encrypts = encrypts;
        if (LibGcrypt.gcry_control(LibGcrypt.IsInitialized, 0) == 0)
        {
            _ = LibGcrypt.gcry_check_version(0);
            _ = LibGcrypt.gcry_control(LibGcrypt.DisableSecureMemory, 0);
            _ = LibGcrypt.gcry_control(LibGcrypt.InitializationFinished, 0);
        }

        nint opened;
        if (LibGcrypt.gcry_cipher_open(&opened, algorithm, NumberOf(mode), 0) != 0)
        {
            throw new BlockException(ErrorCode.NotSupported, $"{missing}: the system's libgcrypt does not have it");
        }

        handle = opened;
        fixed (byte* k = key)
        {
            // A weak key is one all the same: the image was made with it.
            if (LibGcrypt.gcry_cipher_setkey(handle, k, (nuint)key.Length) != 0)
            {
                Dispose();
                throw new BlockException(ErrorCode.NotSupported, $"{missing}: the system's libgcrypt refuses the key");
            }
        }
    }

    /// <inheritdoc/>
    public override void Run(byte* iv, byte* source, byte* target, int length)
    {
        var error = iv is null ? 0
            : mode == ModeKind.Ctr ? LibGcrypt.gcry_cipher_setctr(handle, iv, (nuint)ivBytes)
            : LibGcrypt.gcry_cipher_setiv(handle, iv, (nuint)ivBytes);
        var n = (nuint)length;
        var from = source == target ? null : source; // in place
        var m = source == target ? 0 : n;
        error = error != 0 ? error
            : encrypts ? LibGcrypt.gcry_cipher_encrypt(handle, target, n, from, m)
            : LibGcrypt.gcry_cipher_decrypt(handle, target, n, from, m);
        if (error != 0)
        {
            throw new BlockException(ErrorCode.Io, "The system's libgcrypt failed to encrypt or decrypt a sector");
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        LibGcrypt.gcry_cipher_close(handle); // overwrites the key
        handle = 0;
    }

    // Of gcrypt.h.
    private static int NumberOf(ModeKind mode) => mode switch
    {
        ModeKind.Ecb => 1,
        ModeKind.Cbc => 3,
        ModeKind.Ctr => 6,
        _ => 13,
    };
}
