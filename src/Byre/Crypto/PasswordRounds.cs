using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Byre.Crypto;

/// <summary>
/// The many iterations of PBKDF2 with HMAC (RFC 8018, section 5.2), by the compression functions of OpenSSL: an iteration is
/// two of them, and what the library's own PBKDF2 does around them takes longer than they do.
/// </summary>
internal static unsafe class PasswordRounds
{
    private const int ContextBytes = 256; // more than the largest of OpenSSL's hash contexts
    private const byte Inner = 0x36;
    private const byte Outer = 0x5c;

    /// <summary>The hash can be iterated here.</summary>
    public static bool Knows(HashKind kind) => kind is HashKind.Sha1 or HashKind.Sha256 or HashKind.Sha512;

    /// <summary>Goes on after the first iteration.</summary>
    /// <param name="kind">The hash.</param>
    /// <param name="key">The passphrase, or its digest where it is longer than a block of the hash.</param>
    /// <param name="blocks">The keys after one iteration, whole digests; replaced by those after all.</param>
    /// <param name="iterations">All of them, at least 1.</param>
    /// <exception cref="EntryPointNotFoundException">OpenSSL was built without its old functions.</exception>
    public static void Run(HashKind kind, ReadOnlySpan<byte> key, Span<byte> blocks, int iterations)
    {
        var digest = CryptoNames.DigestBytes(kind);
        var block = kind == HashKind.Sha512 ? 128 : 64;
        var memory = stackalloc byte[(3 * ContextBytes) + 128];
        var inner = memory;
        var outer = inner + ContextBytes;
        var state = outer + ContextBytes;
        var message = state + ContextBytes;
        try
        {
            Prepare(kind, key, Inner, inner, message, block);
            Prepare(kind, key, Outer, outer, message, block);
            for (var at = 0; at < blocks.Length; at += digest)
            {
                // One block: the digest, the bit that ends it, and how many bits there were with the block of the key.
                var text = new Span<byte>(message, block);
                text.Clear();
                text[digest] = 0x80;
                BinaryPrimitives.WriteInt32BigEndian(text[(block - 4)..], (block + digest) * 8);
                var sum = blocks.Slice(at, digest);
                sum.CopyTo(text);
                for (var i = 1; i < iterations; i++)
                {
                    Hash(kind, inner, state, message, digest);
                    Hash(kind, outer, state, message, digest);
                    Add(sum, message);
                }
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(new Span<byte>(memory, (3 * ContextBytes) + 128));
        }
    }

    /// <summary>The state of the hash after a block of the key.</summary>
    private static void Prepare(HashKind kind, ReadOnlySpan<byte> key, byte pad, byte* context, byte* message, int block)
    {
        var text = new Span<byte>(message, block);
        text.Fill(pad);
        for (var i = 0; i < key.Length; i++)
        {
            text[i] ^= key[i];
        }

        _ = kind switch
        {
            HashKind.Sha1 => LibCrypto.SHA1_Init(context),
            HashKind.Sha256 => LibCrypto.SHA256_Init(context),
            _ => LibCrypto.SHA512_Init(context),
        };
        Compress(kind, context, message);
    }

    /// <summary>Replaces the digest in the message by its hash after a block of the key.</summary>
    private static void Hash(HashKind kind, byte* start, byte* state, byte* message, int digest)
    {
        new ReadOnlySpan<byte>(start, 64).CopyTo(new Span<byte>(state, 64)); // the words come first, at most eight of eight bytes
        Compress(kind, state, message);
        if (kind == HashKind.Sha512)
        {
            BinaryPrimitives.ReverseEndianness(new ReadOnlySpan<ulong>(state, 8), new Span<ulong>(message, 8));
        }
        else
        {
            BinaryPrimitives.ReverseEndianness(new ReadOnlySpan<uint>(state, digest / 4), new Span<uint>(message, digest / 4));
        }
    }

    private static void Add(Span<byte> sum, byte* value)
    {
        var words = MemoryMarshal.Cast<byte, uint>(sum);
        for (var i = 0; i < words.Length; i++)
        {
            words[i] ^= ((uint*)value)[i];
        }
    }

    private static void Compress(HashKind kind, byte* context, byte* message)
    {
        switch (kind)
        {
            case HashKind.Sha1:
                LibCrypto.SHA1_Transform(context, message);
                break;
            case HashKind.Sha256:
                LibCrypto.SHA256_Transform(context, message);
                break;
            default:
                LibCrypto.SHA512_Transform(context, message);
                break;
        }
    }
}
