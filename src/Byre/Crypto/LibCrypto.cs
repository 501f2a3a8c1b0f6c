using System.Runtime.InteropServices;

namespace Byre.Crypto;

/// <summary>OpenSSL 3. Functions that return a number return 1 for success.</summary>
internal static unsafe partial class LibCrypto
{
    private const string Library = "libcrypto.so.3";

    [LibraryImport(Library)]
    internal static partial nint EVP_CIPHER_CTX_new();

    [LibraryImport(Library)]
    internal static partial void EVP_CIPHER_CTX_free(nint context);

    [LibraryImport(Library)]
    internal static partial int EVP_CIPHER_CTX_set_padding(nint context, int padding);

    [LibraryImport(Library)]
    internal static partial nint EVP_CIPHER_fetch(nint library, byte* name, byte* properties);

    [LibraryImport(Library)]
    internal static partial void EVP_CIPHER_free(nint cipher);

    [LibraryImport(Library)]
    internal static partial int EVP_CipherInit_ex(nint context, nint cipher, nint engine, byte* key, byte* iv, int encrypt);

    /// <summary>A new vector for a context that has its key; short enough for the collector to wait.</summary>
    [LibraryImport(Library, EntryPoint = "EVP_CipherInit_ex")]
    [SuppressGCTransition]
    internal static partial int ResetIv(nint context, nint cipher, nint engine, byte* key, byte* iv, int encrypt);

    [LibraryImport(Library)]
    internal static partial int EVP_CipherUpdate(nint context, byte* target, int* written, byte* source, int length);

    /// <summary>One sector; short enough for the collector to wait.</summary>
    [LibraryImport(Library, EntryPoint = "EVP_CipherUpdate")]
    [SuppressGCTransition]
    internal static partial int UpdateSector(nint context, byte* target, int* written, byte* source, int length);

    [LibraryImport(Library)]
    internal static partial nint EVP_MD_fetch(nint library, byte* name, byte* properties);

    [LibraryImport(Library)]
    internal static partial void EVP_MD_free(nint digest);

    [LibraryImport(Library)]
    internal static partial int EVP_Digest(byte* data, nuint length, byte* target, uint* written, nint digest, nint engine);

    [LibraryImport(Library)]
    internal static partial int PKCS5_PBKDF2_HMAC(
        byte* password, int passwordLength, byte* salt, int saltLength, int iterations, nint digest, int keyLength, byte* key);

    [LibraryImport(Library)]
    internal static partial int SHA1_Init(byte* context);

    /// <summary>One block; short enough for the collector to wait.</summary>
    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial void SHA1_Transform(byte* context, byte* block);

    [LibraryImport(Library)]
    internal static partial int SHA256_Init(byte* context);

    /// <summary>One block; short enough for the collector to wait.</summary>
    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial void SHA256_Transform(byte* context, byte* block);

    [LibraryImport(Library)]
    internal static partial int SHA512_Init(byte* context);

    /// <summary>One block; short enough for the collector to wait.</summary>
    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial void SHA512_Transform(byte* context, byte* block);

    [LibraryImport(Library)]
    internal static partial nint OSSL_PROVIDER_try_load(nint library, byte* name, int keepFallbacks);

    [LibraryImport(Library)]
    internal static partial void ERR_clear_error();
}
