using System.Security.Cryptography;

namespace Byre.Crypto;

/// <summary>
/// Bytes that nobody but their owner shall see: a key or a passphrase. The collector never moves them, so that no copy stays
/// behind, and they are overwritten with zeroes when they are disposed.
/// </summary>
public sealed class SecretBytes : IDisposable
{
    private readonly byte[] bytes;
    private bool disposed;

    /// <summary>Makes room for a secret, which is zero at first.</summary>
    /// <param name="length">Bytes, at least 0.</param>
    public SecretBytes(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        bytes = GC.AllocateArray<byte>(length, pinned: true);
    }

    /// <summary>Makes a copy of bytes; the caller overwrites its own.</summary>
    public SecretBytes(ReadOnlySpan<byte> source)
        : this(source.Length) => source.CopyTo(bytes);

    /// <summary>How many bytes.</summary>
    public int Length => bytes.Length;

    /// <summary>The secret.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    public Span<byte> Span
    {
        get
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            return bytes;
        }
    }

    /// <summary>The secret, for work that waits.</summary>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    public Memory<byte> Memory
    {
        get
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            return bytes;
        }
    }

    /// <summary>Random bytes, fit for keys.</summary>
    /// <param name="length">How many, at least 0.</param>
    public static SecretBytes Random(int length)
    {
        var secret = new SecretBytes(length);
        RandomNumberGenerator.Fill(secret.bytes);
        return secret;
    }

    /// <summary>Says how long it is, and nothing else.</summary>
    public override string ToString() => $"{bytes.Length} secret bytes";

    /// <summary>Overwrites the secret with zeroes.</summary>
    public void Dispose()
    {
        CryptographicOperations.ZeroMemory(bytes);
        disposed = true;
    }
}
