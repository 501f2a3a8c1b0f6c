using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>
/// The secrets that options refer to by their id (QEMU's object type "secret"). They are overwritten when the store is
/// disposed, and no message shows them.
/// </summary>
public sealed class SecretStore : IDisposable
{
    private const int MostBytes = 16 << 20;
    private const int KeyBytes = 32;
    private const int IvBytes = 16;

    private readonly Dictionary<string, SecretBytes> secrets = new(StringComparer.Ordinal);

    /// <summary>Adds a secret.</summary>
    /// <param name="id">What it is referred to by.</param>
    /// <param name="options">
    /// One of "data" (the secret) and "file" (the path of a file that holds it); "format": raw, or base64; "keyid" and "iv": it is
    /// encrypted by AES-256-CBC with the key in another secret, which was added before, and with this vector, in base64.
    /// </param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: the options make no secret; or the file cannot be read.</exception>
    public void Add(string id, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(id);
        ArgumentNullException.ThrowIfNull(options);
        var unknown = options.Keys.Where(k => k is not ("id" or "qom-type" or "data" or "file" or "format" or "keyid" or "iv")).Min(StringComparer.Ordinal);
        if (unknown is not null)
        {
            throw Invalid(id, $"there is no option '{unknown}' for it");
        }

        var isBase64 = options.GetValueOrDefault("format", "raw") switch
        {
            "raw" => false,
            "base64" => true,
            var other => throw Invalid(id, $"its format is raw or base64, not '{other}'"),
        };
        var secret = Load(id, options);
        if (isBase64)
        {
            secret = Decode(id, secret, "data");
        }

        if (options.TryGetValue("keyid", out var key))
        {
            secret = Decrypt(id, secret, key, options.GetValueOrDefault("iv"));
        }

        if (!secrets.TryAdd(id, secret))
        {
            secret.Dispose();
            throw Invalid(id, "it is there twice");
        }
    }

    /// <summary>A secret as a passphrase: text in UTF-8.</summary>
    /// <param name="id">Its id.</param>
    /// <returns>Belongs to the store.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>: there is none; <see cref="ErrorCode.Invalid"/>: it is no text.</exception>
    public SecretBytes Passphrase(string id)
    {
        var secret = Find(id);
        return secret.Span.Contains((byte)0) || !System.Text.Unicode.Utf8.IsValid(secret.Span)
            ? throw Invalid(id, "it is no passphrase: a passphrase is text in UTF-8")
            : secret;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var secret in secrets.Values)
        {
            secret.Dispose();
        }

        secrets.Clear();
    }

    private static SecretBytes Load(string id, IReadOnlyDictionary<string, string> options)
    {
        var hasData = options.TryGetValue("data", out var data);
        var hasFile = options.TryGetValue("file", out var path);
        if (hasData == hasFile)
        {
            throw Invalid(id, hasData ? "it has both 'file' and 'data'" : "either 'file' or 'data' must be given");
        }

        if (!hasFile)
        {
            var text = new SecretBytes(Encoding.UTF8.GetByteCount(data!));
            Encoding.UTF8.GetBytes(data, text.Span);
            return text;
        }

        try
        {
            using var stream = new FileStream(path!, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            return ReadAll(id, stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new BlockException(ErrorCode.Io, $"Could not read the secret '{id}' from '{path!.Replace('\0', '?')}': {e.Message}", inner: e);
        }
    }

    /// <summary>Reads to the end, also of a pipe, whose length nobody knows.</summary>
    private static SecretBytes ReadAll(string id, FileStream stream)
    {
        var buffer = new SecretBytes(4096);
        var filled = 0;
        try
        {
            while (true)
            {
                if (filled == buffer.Length)
                {
                    if (filled >= MostBytes)
                    {
                        throw Invalid(id, "its file is longer than any secret");
                    }

                    var larger = new SecretBytes(filled * 4);
                    buffer.Span.CopyTo(larger.Span);
                    buffer.Dispose();
                    buffer = larger;
                }

                var n = stream.Read(buffer.Span[filled..]);
                if (n == 0)
                {
                    return new SecretBytes(buffer.Span[..filled]);
                }

                filled += n;
            }
        }
        finally
        {
            buffer.Dispose();
        }
    }

    private static SecretBytes Decode(string id, SecretBytes text, string what)
    {
        using (text)
        {
            using var decoded = new SecretBytes(Base64.GetMaxDecodedFromUtf8Length(text.Length));
            return Base64.DecodeFromUtf8(text.Span, decoded.Span, out _, out var length) == OperationStatus.Done
                ? new SecretBytes(decoded.Span[..length])
                : throw Invalid(id, $"its {what} is not valid base64");
        }
    }

    private SecretBytes Decrypt(string id, SecretBytes encrypted, string keyId, string? iv)
    {
        using (encrypted)
        {
            var key = Find(keyId);
            if (key.Length != KeyBytes)
            {
                throw Invalid(id, $"its key '{keyId}' has {key.Length} bytes, and needs {KeyBytes}");
            }

            if (iv is null)
            {
                throw Invalid(id, "it is encrypted, and needs its iv");
            }

            using var vector = Decode(id, new SecretBytes(Encoding.UTF8.GetBytes(iv)), "iv");
            if (vector.Length != IvBytes)
            {
                throw Invalid(id, $"its iv has {vector.Length} bytes, and needs {IvBytes}");
            }

            using var aes = Aes.Create();
            using var plain = new SecretBytes(encrypted.Length);
            try
            {
                aes.SetKey(key.Span);
                return new SecretBytes(plain.Span[..aes.DecryptCbc(encrypted.Span, vector.Span, plain.Span, PaddingMode.PKCS7)]);
            }
            catch (CryptographicException)
            {
                throw Invalid(id, $"it cannot be decrypted with the key '{keyId}': the key, the iv or the data is wrong");
            }
        }
    }

    private SecretBytes Find(string id) =>
        secrets.GetValueOrDefault(id) ?? throw new BlockException(ErrorCode.NotFound, $"No secret with id '{id}'");

    private static BlockException Invalid(string id, string what) => new(ErrorCode.Invalid, $"Secret '{id}': {what}");
}
