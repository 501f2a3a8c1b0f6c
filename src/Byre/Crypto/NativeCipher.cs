namespace Byre.Crypto;

/// <summary>A cipher of a library with its key, one direction. One thread at a time.</summary>
internal abstract unsafe class NativeCipher(int ivBytes) : IDisposable
{
    /// <summary>Bytes of a sector, each of which has a vector of its own.</summary>
    public const int Sector = 512;

    /// <summary>Encrypts or decrypts sectors that follow each other.</summary>
    /// <param name="source">The sectors; the last may be a part of one, of whole blocks of the cipher.</param>
    /// <param name="target">As many bytes; may be the same memory.</param>
    /// <param name="sector">The number of the first.</param>
    /// <param name="vectors">Makes their vectors.</param>
    public void Transform(ReadOnlySpan<byte> source, Span<byte> target, ulong sector, VectorMaker vectors)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(target.Length, source.Length);
        fixed (byte* from = source, to = target)
        {
            byte* iv = stackalloc byte[16];
            for (var at = 0; at < source.Length; at += Sector)
            {
                vectors.Make(sector++, iv, ivBytes);
                Run(ivBytes == 0 ? null : iv, from + at, to + at, Math.Min(Sector, source.Length - at));
            }
        }
    }

    /// <summary>Encrypts or decrypts one piece.</summary>
    /// <param name="iv">Its vector; null where the mode has none.</param>
    /// <param name="source">The bytes.</param>
    /// <param name="target">Where to.</param>
    /// <param name="length">How many.</param>
    public abstract void Run(byte* iv, byte* source, byte* target, int length);

    /// <summary>Overwrites the key and lets go of it.</summary>
    public abstract void Dispose();
}
