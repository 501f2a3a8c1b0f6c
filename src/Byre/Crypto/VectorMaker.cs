using System.Buffers.Binary;

namespace Byre.Crypto;

/// <summary>Makes the vectors of sectors. One thread at a time.</summary>
internal sealed unsafe class VectorMaker : IDisposable
{
    private readonly IvKind kind;
    private readonly NativeCipher? cipher; // of essiv

    /// <summary>Makes one for a key.</summary>
    public VectorMaker(CipherSpec spec, ReadOnlySpan<byte> key)
    {
        kind = spec.Mode == ModeKind.Ecb ? IvKind.Plain64 : spec.Iv;
        if (kind == IvKind.Essiv)
        {
            using var digest = new Digest(spec.IvHash!.Value);
            using var salt = new SecretBytes(digest.Length);
            digest.Hash(key, salt.Span);
            cipher = CipherFinder.Open(spec.IvCipher!.Value, ModeKind.Ecb, salt.Span, encrypts: true);
        }
    }

    /// <summary>Makes a vector.</summary>
    /// <param name="sector">The number of the sector.</param>
    /// <param name="iv">Where to; room for 16 bytes.</param>
    /// <param name="length">How many bytes; at most 16.</param>
    public void Make(ulong sector, byte* iv, int length)
    {
        if (length == 0)
        {
            return;
        }

        var vector = new Span<byte>(iv, 16);
        BinaryPrimitives.WriteUInt64LittleEndian(vector, kind == IvKind.Plain ? (uint)sector : sector);
        vector[8..].Clear();
        cipher?.Run(null, iv, iv, 16);
    }

    /// <inheritdoc/>
    public void Dispose() => cipher?.Dispose();
}
