using Byre.Crypto;

namespace Byre.Tests.Crypto;

public class DigestTests
{
    /// <summary>RFC 6070 (SHA-1), and the same for SHA-256.</summary>
    [Theory]
    [InlineData(HashKind.Sha1, 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6")]
    [InlineData(HashKind.Sha1, 4096, "4b007901b765489abead49d926f721d065a429c1")]
    [InlineData(HashKind.Sha256, 4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a")]
    public void Pbkdf2_gives_the_published_keys(HashKind hash, int iterations, string expected)
    {
        using var digest = new Digest(hash);
        var key = new byte[expected.Length / 2];
        digest.Derive("password"u8, "salt"u8, iterations, key);
        Assert.Equal(expected, Convert.ToHexStringLower(key));
    }

    [Theory]
    [InlineData(HashKind.Sha1)]
    [InlineData(HashKind.Sha256)]
    [InlineData(HashKind.Sha512)]
    [InlineData(HashKind.Sha384)]
    [InlineData(HashKind.Ripemd160)]
    public void Keys_are_those_of_the_library_s_own_function(HashKind hash)
    {
        using var digest = new Digest(hash);
        var random = new Random(5);
        foreach (var length in new[] { 0, 1, 19, 20, 63, 64, 65, 127, 128, 129, 400 })
        {
            var passphrase = new byte[length];
            random.NextBytes(passphrase);
            var salt = new byte[random.Next(1, 200)];
            random.NextBytes(salt);
            var expected = new byte[random.Next(1, 200)];
            var actual = new byte[expected.Length];
            var iterations = random.Next(1, 50);
            digest.DeriveByLibrary(passphrase, salt, iterations, expected);
            digest.Derive(passphrase, salt, iterations, actual);
            Assert.Equal(expected, actual);
        }
    }

    [Theory]
    [InlineData(HashKind.Md5, "900150983cd24fb0d6963f7d28e17f72")]
    [InlineData(HashKind.Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d")]
    [InlineData(HashKind.Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7")]
    [InlineData(HashKind.Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    [InlineData(HashKind.Ripemd160, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc")]
    public void Hashes_give_the_published_digests_of_abc(HashKind hash, string expected)
    {
        using var digest = new Digest(hash);
        var result = new byte[digest.Length];
        digest.Hash("abc"u8, result);
        Assert.Equal(expected, Convert.ToHexStringLower(result));
    }

    [Fact]
    public void An_empty_passphrase_has_a_key_too()
    {
        using var digest = new Digest(HashKind.Sha256);
        var key = new byte[32];
        digest.Derive([], "salt"u8, 1, key);
        Assert.NotEqual(new byte[32], key);
    }

    [Fact]
    public void Iterations_are_measured()
    {
        using var digest = new Digest(HashKind.Sha256);
        Assert.InRange(PassphraseCost.IterationsPerSecond(digest, 32), 10_000, 1_000_000_000);
    }
}
