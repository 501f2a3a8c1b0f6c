using System.Buffers.Binary;
using System.Security.Cryptography;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Tests.Crypto;

public class SectorCryptTests
{
    /// <summary>IEEE 1619, annex B, vectors 2 and 10 (its first 32 bytes).</summary>
    [Theory]
    [InlineData(
        CipherKind.Aes128, "1111111111111111111111111111111122222222222222222222222222222222", 0x3333333333,
        "4444444444444444444444444444444444444444444444444444444444444444", "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0")]
    [InlineData(
        CipherKind.Aes256, "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502884197169399375105820974944592", 0xff,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b")]
    public void Xts_gives_the_standards_vectors(CipherKind cipher, string key, long sector, string plain, string expected)
    {
        using var crypt = Make(new CipherSpec(cipher, ModeKind.Xts, IvKind.Plain64, null), Convert.FromHexString(key));
        var bytes = Convert.FromHexString(plain);
        crypt.Encrypt(bytes, bytes, sector * 512);
        Assert.Equal(expected, Convert.ToHexStringLower(bytes));
        crypt.Decrypt(bytes, sector * 512);
        Assert.Equal(plain, Convert.ToHexStringLower(bytes));
    }

    [Theory]
    [InlineData(IvKind.Plain)]
    [InlineData(IvKind.Plain64)]
    [InlineData(IvKind.Essiv)]
    public void Vectors_are_those_of_the_sector_s_number(IvKind kind)
    {
        const long first = 0x1_0000_0005; // plain keeps 32 bits of it
        var key = TestBytes(32, 1);
        using var crypt = Make(new CipherSpec(CipherKind.Aes256, ModeKind.Cbc, kind, kind == IvKind.Essiv ? HashKind.Sha256 : null), key);
        var plain = TestBytes(3 * 512, 2);
        var actual = new byte[plain.Length];
        crypt.Encrypt(plain, actual, first * 512);
        using var aes = Aes.Create();
        for (var i = 0; i < 3; i++)
        {
            var iv = new byte[16];
            BinaryPrimitives.WriteUInt64LittleEndian(iv, kind == IvKind.Plain ? (uint)(first + i) : (ulong)(first + i));
            if (kind == IvKind.Essiv)
            {
                aes.SetKey(SHA256.HashData(key));
                iv = aes.EncryptEcb(iv, PaddingMode.None);
            }

            aes.SetKey(key);
            Assert.Equal(aes.EncryptCbc(plain.AsSpan(i * 512, 512), iv, PaddingMode.None), actual[(i * 512)..((i + 1) * 512)]);
        }
    }

    public static TheoryData<CipherKind, ModeKind> Combinations()
    {
        var data = new TheoryData<CipherKind, ModeKind>();
        foreach (var cipher in Enum.GetValues<CipherKind>())
        {
            foreach (var mode in Enum.GetValues<ModeKind>())
            {
                data.Add(cipher, mode);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_cipher_and_mode_gives_back_what_it_took_or_says_in_one_line_that_it_is_not_there(CipherKind cipher, ModeKind mode)
    {
        var spec = new CipherSpec(cipher, mode, IvKind.Plain64, null);
        var plain = TestBytes(4096, 3);
        try
        {
            using var crypt = Make(spec, TestBytes(spec.KeyBytes, 4));
            var bytes = new byte[plain.Length];
            crypt.Encrypt(plain, bytes, 512);
            Assert.NotEqual(plain, bytes);
            var parts = (byte[])bytes.Clone();
            crypt.Decrypt(bytes, 512);
            Assert.Equal(plain, bytes);

            // Sectors do not depend on one another, but on where they are.
            crypt.Decrypt(parts.AsSpan(1024, 512), 512 + 1024);
            Assert.Equal(plain[1024..1536], parts[1024..1536]);
            crypt.Decrypt(parts.AsSpan(2048, 512), 0);
            Assert.Equal(mode == ModeKind.Ecb, plain.AsSpan(2048, 512).SequenceEqual(parts.AsSpan(2048, 512)));
        }
        catch (BlockException e)
        {
            Assert.Contains(CryptoNames.NameOf(cipher), e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', e.Message);
            Assert.True(cipher is CipherKind.Twofish192 || mode == ModeKind.Xts && cipher is CipherKind.Cast5128, e.Message);
        }
    }

    [Fact]
    public void Threads_do_not_disturb_one_another()
    {
        using var crypt = Make(CipherSpec.Default, TestBytes(64, 5));
        Parallel.For(0, 64, i =>
        {
            var plain = TestBytes(64 << 10, i);
            var bytes = (byte[])plain.Clone();
            crypt.Encrypt(bytes, bytes, i * 65_536L);
            crypt.Decrypt(bytes, i * 65_536L);
            Assert.True(plain.AsSpan().SequenceEqual(bytes));
        });
    }

    [Fact]
    public void A_vector_by_essiv_needs_a_cipher_with_a_key_of_the_hash_s_length() => Assert.Throws<BlockException>(
        () => new CipherSpec(CipherKind.Aes256, ModeKind.Cbc, IvKind.Essiv, HashKind.Sha1).Validate());

    [Fact]
    public void Secrets_are_zero_afterwards_and_not_shown()
    {
        var secret = new SecretBytes("geheim"u8);
        var seen = secret.Memory;
        Assert.Equal("6 secret bytes", secret.ToString());
        secret.Dispose();
        Assert.Equal(new byte[6], seen.ToArray());
        Assert.Throws<ObjectDisposedException>(() => secret.Span.Length);
    }

    private static SectorCrypt Make(CipherSpec spec, byte[] key) => new(spec, new SecretBytes(key));

    private static byte[] TestBytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
