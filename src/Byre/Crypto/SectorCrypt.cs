using System.Collections.Concurrent;
using Byre.Nodes;

namespace Byre.Crypto;

/// <summary>
/// Encrypts and decrypts the sectors of a disk with one key. Every thread that does so at a time has contexts of its own,
/// which are kept for the next.
/// </summary>
public sealed class SectorCrypt : IDisposable
{
    /// <summary>Bytes of a sector, each of which is encrypted on its own.</summary>
    public const int Sector = NativeCipher.Sector;

    private readonly CipherSpec spec;
    private readonly SecretBytes key;
    private readonly ConcurrentBag<Context> idle = [];

    /// <summary>Takes a key.</summary>
    /// <param name="spec">How sectors are encrypted.</param>
    /// <param name="key">The key; belongs to the new object, also if this fails.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: no library of the system has the cipher.</exception>
    public SectorCrypt(CipherSpec spec, SecretBytes key)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(key);
        this.spec = spec;
        this.key = key;
        try
        {
            ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, spec.KeyBytes);
            spec.Validate();
            idle.Add(new Context(spec, key.Span));
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    /// <summary>How sectors are encrypted.</summary>
    public CipherSpec Spec => spec;

    /// <summary>Encrypts sectors that follow each other.</summary>
    /// <param name="source">The sectors; a multiple of <see cref="Sector"/> bytes.</param>
    /// <param name="target">As many bytes; may be the same memory.</param>
    /// <param name="offset">Where the first is on the disk that the vectors count, in bytes; a multiple of <see cref="Sector"/>.</param>
    public void Encrypt(ReadOnlySpan<byte> source, Span<byte> target, long offset)
    {
        var context = Take();
        try
        {
            context.Encrypter.Transform(source, target, (ulong)offset / Sector, context.Vectors);
        }
        finally
        {
            idle.Add(context);
        }
    }

    /// <summary>Decrypts sectors that follow each other, where they are.</summary>
    /// <param name="sectors">The sectors; a multiple of <see cref="Sector"/> bytes.</param>
    /// <param name="offset">As for <see cref="Encrypt"/>.</param>
    public void Decrypt(Span<byte> sectors, long offset)
    {
        var context = Take();
        try
        {
            context.Decrypter.Transform(sectors, sectors, (ulong)offset / Sector, context.Vectors);
        }
        finally
        {
            idle.Add(context);
        }
    }

    /// <summary>Overwrites the key, wherever it is. Nobody uses the object any more.</summary>
    public void Dispose()
    {
        while (idle.TryTake(out var context))
        {
            context.Dispose();
        }

        key.Dispose();
    }

    private Context Take() => idle.TryTake(out var context) ? context : new Context(spec, key.Span);

    private sealed class Context : IDisposable
    {
        internal Context(CipherSpec spec, ReadOnlySpan<byte> key)
        {
            Encrypter = CipherFinder.Open(spec.Cipher, spec.Mode, key, encrypts: true);
            try
            {
                Decrypter = CipherFinder.Open(spec.Cipher, spec.Mode, key, encrypts: false);
                Vectors = new VectorMaker(spec, key);
            }
            catch
            {
                Encrypter.Dispose();
                Decrypter?.Dispose();
                throw;
            }
        }

        internal NativeCipher Encrypter { get; }

        internal NativeCipher Decrypter { get; }

        internal VectorMaker Vectors { get; }

        public void Dispose()
        {
            Encrypter.Dispose();
            Decrypter.Dispose();
            Vectors.Dispose();
        }
    }
}
