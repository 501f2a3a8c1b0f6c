using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>Files of keys and parameters in PEM, read whole and never left in memory.</summary>
internal static unsafe class TlsFiles
{
    private const int MostBytes = 1 << 20;

    /// <summary>Reads a file.</summary>
    /// <returns>Its bytes, which the caller disposes.</returns>
    /// <exception cref="BlockException">It cannot be read; the message names it.</exception>
    public static SecretBytes Read(string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            var length = RandomAccess.GetLength(file);
            if (length > MostBytes)
            {
                throw new BlockException(ErrorCode.TooLarge, $"TLS: '{path}' is longer than {MostBytes} bytes", path);
            }

            var bytes = new SecretBytes((int)length);
            var filled = 0;
            for (int n; filled < bytes.Length && (n = RandomAccess.Read(file, bytes.Span[filled..], filled)) > 0;)
            {
                filled += n;
            }

            return bytes;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>Makes sure that a file is there and can be read, as OpenSSL does not say which one it failed to read.</summary>
    /// <exception cref="BlockException">It cannot be read; the message names it.</exception>
    public static void CheckReadable(string path)
    {
        try
        {
            File.OpenHandle(path).Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>Reads a private key.</summary>
    /// <param name="path">The file.</param>
    /// <param name="passphrase">Its passphrase, or null.</param>
    /// <returns>An EVP_PKEY, which the caller frees.</returns>
    /// <exception cref="BlockException">There is no key in it, or the passphrase is wrong or missing.</exception>
    public static nint ReadKey(string path, SecretBytes? passphrase)
    {
        using var bytes = Read(path);
        using var word = new SecretBytes((passphrase?.Length ?? 0) + 1); // with the zero byte that ends it
        passphrase?.Span.CopyTo(word.Span);
        fixed (byte* start = bytes.Span, wordStart = word.Span)
        {
            var bio = LibSsl.BIO_new_mem_buf(start, bytes.Length);
            try
            {
                TlsErrors.Clear();
                var key = bio == 0 ? 0 : LibSsl.PEM_read_bio_PrivateKey(bio, 0, 0, wordStart);
                return key != 0 ? key : throw new BlockException(
                    ErrorCode.Invalid,
                    $"TLS: no private key could be read from '{path}': {TlsErrors.Take() ?? "it is not in PEM"}"
                        + (passphrase is null && bytes.Span.IndexOf("ENCRYPTED"u8) >= 0 ? " (it is encrypted: passwordid= names the secret with its passphrase)" : ""),
                    path);
            }
            finally
            {
                _ = LibSsl.BIO_free(bio);
            }
        }
    }

    /// <summary>Gives a context the parameters for exchanging keys that a file holds; a file that is not there changes nothing.</summary>
    /// <exception cref="BlockException">There are none in it, or OpenSSL finds them too weak.</exception>
    public static void UseDhParameters(TlsContext context, string path)
    {
        if (!Path.Exists(path))
        {
            return;
        }

        using var bytes = Read(path);
        fixed (byte* start = bytes.Span)
        {
            var bio = LibSsl.BIO_new_mem_buf(start, bytes.Length);
            try
            {
                TlsErrors.Clear();
                var parameters = bio == 0 ? 0 : LibSsl.PEM_read_bio_Parameters(bio, 0);
                if (parameters == 0 || LibSsl.SSL_CTX_set0_tmp_dh_pkey(context.Pointer, parameters) != 1)
                {
                    LibSsl.EVP_PKEY_free(parameters);
                    throw TlsContext.Failure($"no parameters of Diffie and Hellman's method could be used from '{path}'", ErrorCode.Invalid);
                }
            }
            finally
            {
                _ = LibSsl.BIO_free(bio);
            }
        }
    }

    private static BlockException Unreadable(string path, Exception e) => new(
        e is UnauthorizedAccessException ? ErrorCode.AccessDenied : ErrorCode.NotFound,
        $"TLS: could not read '{path.Replace('\0', '?')}': "
            + e switch
            {
                FileNotFoundException or DirectoryNotFoundException => "No such file or directory",
                UnauthorizedAccessException when Directory.Exists(path) => "Is a directory",
                UnauthorizedAccessException => "Permission denied",
                ArgumentException => "No file can have this name",
                _ => e.Message,
            },
        path,
        inner: e);
}
