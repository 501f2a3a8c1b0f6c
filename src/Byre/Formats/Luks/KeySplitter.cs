using System.Buffers.Binary;
using System.Security.Cryptography;
using Byre.Crypto;

namespace Byre.Formats.Luks;

/// <summary>
/// Splits a key into many parts of its length, all of which are needed to get it back: who overwrites any of them has
/// destroyed the key (LUKS 1 specification, "anti-forensic splitter").
/// </summary>
internal static class KeySplitter
{
    /// <summary>Splits.</summary>
    /// <param name="digest">The hash.</param>
    /// <param name="key">The key.</param>
    /// <param name="parts">Filled: a multiple of the key's length.</param>
    public static void Split(Digest digest, ReadOnlySpan<byte> key, Span<byte> parts)
    {
        RandomNumberGenerator.Fill(parts[..^key.Length]);
        using var sum = new SecretBytes(key.Length);
        Add(digest, sum.Span, parts[..^key.Length]);
        var last = parts[^key.Length..];
        for (var i = 0; i < key.Length; i++)
        {
            last[i] = (byte)(sum.Span[i] ^ key[i]);
        }
    }

    /// <summary>Puts the parts together again.</summary>
    /// <param name="digest">The hash.</param>
    /// <param name="parts">A multiple of the key's length.</param>
    /// <param name="key">Filled.</param>
    public static void Merge(Digest digest, ReadOnlySpan<byte> parts, Span<byte> key)
    {
        key.Clear();
        Add(digest, key, parts[..^key.Length]);
        Combine(key, parts[^key.Length..]);
    }

    private static void Add(Digest digest, Span<byte> sum, ReadOnlySpan<byte> parts)
    {
        for (var at = 0; at < parts.Length; at += sum.Length)
        {
            Combine(sum, parts.Slice(at, sum.Length));
            Diffuse(digest, sum);
        }
    }

    private static void Combine(Span<byte> sum, ReadOnlySpan<byte> part)
    {
        for (var i = 0; i < sum.Length; i++)
        {
            sum[i] ^= part[i];
        }
    }

    /// <summary>Replaces each piece of a digest's length by the hash of its number and itself.</summary>
    private static void Diffuse(Digest digest, Span<byte> block)
    {
        Span<byte> input = stackalloc byte[4 + 64];
        Span<byte> output = stackalloc byte[digest.Length];
        for (var (at, number) = (0, 0u); at < block.Length; at += digest.Length, number++)
        {
            var piece = block[at..Math.Min(block.Length, at + digest.Length)];
            BinaryPrimitives.WriteUInt32BigEndian(input, number);
            piece.CopyTo(input[4..]);
            digest.Hash(input[..(4 + piece.Length)], output);
            output[..piece.Length].CopyTo(piece);
        }

        CryptographicOperations.ZeroMemory(input);
        CryptographicOperations.ZeroMemory(output);
    }
}
