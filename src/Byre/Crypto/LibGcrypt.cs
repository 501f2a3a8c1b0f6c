using System.Runtime.InteropServices;

namespace Byre.Crypto;

/// <summary>libgcrypt, for the ciphers that OpenSSL does not have. Functions that return a number return 0 for success.</summary>
internal static unsafe partial class LibGcrypt
{
    internal const int DisableSecureMemory = 37;
    internal const int InitializationFinished = 38;
    internal const int IsInitialized = 40;

    private const string Library = "libgcrypt.so.20";

    [LibraryImport(Library)]
    internal static partial nint gcry_check_version(nint wanted);

    [LibraryImport(Library)]
    internal static partial uint gcry_control(int command, nint argument);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_open(nint* handle, int algorithm, int mode, uint flags);

    [LibraryImport(Library)]
    internal static partial void gcry_cipher_close(nint handle);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_setkey(nint handle, byte* key, nuint length);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_setiv(nint handle, byte* iv, nuint length);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_setctr(nint handle, byte* counter, nuint length);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_encrypt(nint handle, byte* target, nuint targetLength, byte* source, nuint sourceLength);

    [LibraryImport(Library)]
    internal static partial uint gcry_cipher_decrypt(nint handle, byte* target, nuint targetLength, byte* source, nuint sourceLength);
}
