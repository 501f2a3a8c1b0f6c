using System.Buffers.Binary;
using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Nodes;

namespace Byre.Tests.Formats.Luks;

public class LuksHeaderTests
{
    [Fact]
    public void Its_bytes_are_those_of_the_specification()
    {
        var bytes = Sample().ToBytes();
        Assert.Equal(592, bytes.Length);
        Assert.Equal("4c554b53babe0001" + "616573" + new string('0', 58), Convert.ToHexStringLower(bytes[..40]));
        Assert.Equal("7874732d706c61696e3634" + new string('0', 42), Convert.ToHexStringLower(bytes[40..72]));
        Assert.Equal("736861323536" + new string('0', 52), Convert.ToHexStringLower(bytes[72..104]));
        Assert.Equal("00000fc8" + "00000040", Convert.ToHexStringLower(bytes[104..112])); // payload at sector 4040, keys of 64 bytes
        Assert.Equal(new string('a', 40), Convert.ToHexStringLower(bytes[112..132]));
        Assert.Equal(new string('b', 64), Convert.ToHexStringLower(bytes[132..164]));
        Assert.Equal("000003e8", Convert.ToHexStringLower(bytes[164..168]));
        Assert.Equal("a38c0e4c", System.Text.Encoding.ASCII.GetString(bytes, 168, 8));
        Assert.Equal("00ac71f3" + "00000bb8" + new string('c', 64) + "00000008" + "00000fa0", Convert.ToHexStringLower(bytes[208..256]));
        Assert.Equal("0000dead" + "00000000" + new string('0', 64) + "00000200" + "00000fa0", Convert.ToHexStringLower(bytes[256..304]));
        Assert.Equal("0000dead" + "00000000" + new string('0', 64) + "00000dd0" + "00000fa0", Convert.ToHexStringLower(bytes[544..592]));
    }

    [Theory]
    [InlineData(CipherKind.Aes256, ModeKind.Xts, IvKind.Plain64, null)]
    [InlineData(CipherKind.Aes128, ModeKind.Cbc, IvKind.Essiv, HashKind.Sha256)]
    [InlineData(CipherKind.Serpent256, ModeKind.Xts, IvKind.Plain, null)]
    [InlineData(CipherKind.Twofish128, ModeKind.Ctr, IvKind.Plain64, null)]
    [InlineData(CipherKind.Cast5128, ModeKind.Cbc, IvKind.Plain64, null)]
    public void What_is_written_is_read(CipherKind cipher, ModeKind mode, IvKind iv, HashKind? hash)
    {
        var header = Sample() with { Cipher = new CipherSpec(cipher, mode, iv, hash), Hash = HashKind.Sha512 };
        var read = LuksHeader.Parse(header.ToBytes(), "x");
        Assert.Equal(header.Cipher, read.Cipher);
        Assert.Equal(header.ToBytes(), read.ToBytes());
    }

    public static TheoryData<string, int, byte[]> Damages() => new()
    {
        { "not in the LUKS format", 5, [0] },
        { "LUKS of version 2", 6, [0, 2] },
        { "cipher 'aet'", 8, [.. "aet"u8] },
        { "cipher's name in the LUKS header has no end", 8, Full() },
        { "cipher's mode in the LUKS header has no end", 40, Full() },
        { "hash's name in the LUKS header has no end", 72, Full() },
        { "cipher mode 'xtz-plain64'", 40, [.. "xtz-plain64"u8] },
        { "cipher mode 'xts-plaim64'", 40, [.. "xts-plaim64"u8] },
        { "cipher mode 'xts", 40, [.. "xts\0"u8] },
        { "the hash 'foo' of its vectors", 40, [.. "cbc-essiv:foo"u8] },
        { "hash 'shb256'", 72, [.. "shb256"u8] },
        { "hash '?ha256'", 72, [10] },
        { "inside the LUKS header", 104, [0, 0, 0, 7] },
        { "key slot 7 overlaps the encrypted disk", 104, [0, 0, 0x0f, 0xc7] },
        { "with a key of 65 bytes", 108, [0, 0, 0, 65] },
        { "with a key of 4294967295 bytes", 108, [255, 255, 255, 255] },
        { "digest of its master key has 0 iterations", 164, [0, 0, 0, 0] },
        { "digest of its master key has 4294967295 iterations", 164, [255, 255, 255, 255] },
        { "key slot 0 is neither active nor free", 208, [1] },
        { "key slot 0 has 0 iterations", 212, [0, 0, 0, 0] },
        { "key slot 0 overlaps the header", 248, [0, 0, 0, 7] },
        { "key slots 0 and 1 overlap", 248, [0, 0, 0x02, 0x01] },
        { "key slot 0 overlaps the encrypted disk", 248, [255, 255, 255, 255] },
        { "key slot 0 has 4001 stripes", 252, [0, 0, 0x0f, 0xa1] },
        { "key slot 1 has 4294967295 stripes", 300, [255, 255, 255, 255] },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void What_cannot_be_true_is_refused_in_one_line(string expected, int at, byte[] damage)
    {
        var bytes = Sample().ToBytes();
        damage.CopyTo(bytes, at);
        var e = Assert.Throws<BlockException>(() => LuksHeader.Parse(bytes, "some.file"));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.StartsWith("Could not open 'some.file': ", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_header_that_is_cut_off_is_refused()
    {
        var bytes = Sample().ToBytes();
        for (var length = 0; length < bytes.Length; length++)
        {
            Assert.Throws<BlockException>(() => LuksHeader.Parse(bytes.AsSpan(0, length), "x"));
        }
    }

    /// <summary>Whatever is in it: a header or one clear error.</summary>
    [Fact]
    public void Random_damage_gives_a_header_or_one_clear_error()
    {
        var random = new Random(7);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = Sample().ToBytes();
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(random.Next(6, 588)), random.Next(3) switch { 0 => 0, 1 => uint.MaxValue, _ => (uint)random.Next() });
            }

            try
            {
                LuksHeader.Parse(bytes, "x");
            }
            catch (BlockException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }

    [Fact]
    public void A_key_survives_splitting_and_no_damage_to_its_parts()
    {
        using var digest = new Digest(HashKind.Sha256);
        var key = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"u8.ToArray();
        var parts = new byte[key.Length * 4000];
        KeySplitter.Split(digest, key, parts);
        var merged = new byte[key.Length];
        KeySplitter.Merge(digest, parts, merged);
        Assert.Equal(key, merged);
        parts[1234] ^= 1;
        KeySplitter.Merge(digest, parts, merged);
        Assert.True(key.Zip(merged).Count(p => p.First == p.Second) < 40, "one bit changes all that is hashed with it: half of the key");
    }

    private static LuksHeader Sample()
    {
        var slots = Enumerable.Range(0, 8).Select(i => new LuksKeySlot { MaterialSector = 8 + ((uint)i * 504) }).ToArray();
        slots[0] = slots[0] with { IsActive = true, Iterations = 3000, Salt = Enumerable.Repeat((byte)0xcc, 32).ToArray() };
        return new LuksHeader
        {
            Cipher = CipherSpec.Default,
            Hash = HashKind.Sha256,
            PayloadSector = 4040,
            MasterDigest = Enumerable.Repeat((byte)0xaa, 20).ToArray(),
            MasterSalt = Enumerable.Repeat((byte)0xbb, 32).ToArray(),
            MasterIterations = 1000,
            Uuid = "a38c0e4c-9d1f-4c3b-8a56-0d4a9d9d3a52",
            Slots = slots,
        };
    }

    private static byte[] Full() => [.. Enumerable.Repeat((byte)'a', 32)];
}
