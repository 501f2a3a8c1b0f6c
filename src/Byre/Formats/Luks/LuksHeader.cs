using System.Buffers.Binary;
using System.Text;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>The header of a LUKS volume, version 1 (LUKS 1 specification, "partition header"). Immutable; change it with <c>with</c>.</summary>
public sealed record LuksHeader
{
    /// <summary>Bytes of the header.</summary>
    public const int Length = 592;

    /// <summary>Bytes of a sector, in which the header counts.</summary>
    public const int Sector = 512;

    /// <summary>How many key slots there are.</summary>
    public const int SlotCount = 8;

    /// <summary>Bytes of a salt.</summary>
    public const int SaltBytes = 32;

    /// <summary>Bytes of the digest of the master key.</summary>
    public const int DigestBytes = 20;

    /// <summary>Into how many parts a key is split, so that it is hard to recover once it was overwritten.</summary>
    public const uint Stripes = 4000;

    /// <summary>Where the first key material is at the earliest.</summary>
    internal const int MaterialStart = 4096;

    private const uint SlotIsActive = 0x00ac71f3;
    private const uint SlotIsFree = 0x0000dead;
    private const int SlotsAt = 208;
    private const int SlotLength = 48;
    private const int NameLength = 32;

    /// <summary>How sectors are encrypted.</summary>
    public required CipherSpec Cipher { get; init; }

    /// <summary>The hash of passphrases, of the master key's digest, and of the splitting of keys.</summary>
    public required HashKind Hash { get; init; }

    /// <summary>Where the encrypted disk begins, in sectors of 512 bytes.</summary>
    public required uint PayloadSector { get; init; }

    /// <summary>The digest of the master key, <see cref="DigestBytes"/> long.</summary>
    public required ReadOnlyMemory<byte> MasterDigest { get; init; }

    /// <summary>Its salt, <see cref="SaltBytes"/> long.</summary>
    public required ReadOnlyMemory<byte> MasterSalt { get; init; }

    /// <summary>Its iterations of PBKDF2; at least 1.</summary>
    public required uint MasterIterations { get; init; }

    /// <summary>The name of the volume, as a UUID.</summary>
    public required string Uuid { get; init; }

    /// <summary>The key slots, all eight.</summary>
    public required IReadOnlyList<LuksKeySlot> Slots { get; init; }

    /// <summary>Where the encrypted disk begins, in bytes.</summary>
    public long PayloadOffset => (long)PayloadSector * Sector;

    /// <summary>The first bytes of every LUKS volume, of whatever version.</summary>
    internal static ReadOnlySpan<byte> Magic => [(byte)'L', (byte)'U', (byte)'K', (byte)'S', 0xba, 0xbe];

    /// <summary>Bytes of the split key.</summary>
    internal int SplitKeyBytes => Cipher.KeyBytes * (int)Stripes;

    /// <summary>Sectors that the material of a slot takes.</summary>
    internal uint SlotSectors => SectorsFor(Cipher.KeyBytes);

    /// <summary>Reads a header and checks every field.</summary>
    /// <param name="bytes">At least <see cref="Length"/> bytes, or all that there are.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.WrongFormat"/>: no LUKS volume. <see cref="ErrorCode.NotSupported"/>: a version, cipher or hash that
    /// is not known. <see cref="ErrorCode.Corrupt"/>: a field contradicts the specification.
    /// </exception>
    public static LuksHeader Parse(ReadOnlySpan<byte> bytes, string fileName)
    {
        if (!bytes.StartsWith(Magic))
        {
            throw Failure(fileName, ErrorCode.WrongFormat, "it is not in the LUKS format");
        }

        var version = bytes.Length < 8 ? 0 : BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        if (version != 1 && bytes.Length >= 8)
        {
            throw Failure(fileName, ErrorCode.NotSupported, $"it is LUKS of version {version}, and only version 1 is supported");
        }

        if (bytes.Length < Length)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the LUKS header is cut off");
        }

        var family = NameAt(bytes, 8, NameLength, "cipher's name", fileName);
        var mode = NameAt(bytes, 40, NameLength, "cipher's mode", fileName);
        var hash = NameAt(bytes, 72, NameLength, "hash's name", fileName);
        var slots = new LuksKeySlot[SlotCount];
        for (var i = 0; i < SlotCount; i++)
        {
            slots[i] = ReadSlot(bytes.Slice(SlotsAt + (i * SlotLength), SlotLength), i, fileName);
        }

        var header = new LuksHeader
        {
            Cipher = LuksNames.CipherOf(family, mode, U32(bytes, 108), fileName),
            Hash = CryptoNames.TryParseHash(hash) ?? throw Failure(fileName, ErrorCode.NotSupported, $"its hash '{Printable(hash)}' is not known here"),
            PayloadSector = U32(bytes, 104),
            MasterDigest = bytes.Slice(112, DigestBytes).ToArray(),
            MasterSalt = bytes.Slice(132, SaltBytes).ToArray(),
            MasterIterations = U32(bytes, 164),
            Uuid = Printable(TextOf(bytes.Slice(168, 40))),
            Slots = slots,
        };
        LuksChecks.Check(header, fileName);
        return header;
    }

    /// <summary>The header's bytes.</summary>
    /// <returns><see cref="Length"/> bytes.</returns>
    public byte[] ToBytes()
    {
        var bytes = new byte[Length];
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(6), 1);
        Encoding.ASCII.GetBytes(CryptoNames.FamilyOf(Cipher.Cipher), bytes.AsSpan(8));
        Encoding.ASCII.GetBytes(LuksNames.ModeOf(Cipher), bytes.AsSpan(40));
        Encoding.ASCII.GetBytes(CryptoNames.NameOf(Hash), bytes.AsSpan(72));
        Put32(bytes, 104, PayloadSector);
        Put32(bytes, 108, (uint)Cipher.KeyBytes);
        MasterDigest.Span.CopyTo(bytes.AsSpan(112));
        MasterSalt.Span.CopyTo(bytes.AsSpan(132));
        Put32(bytes, 164, MasterIterations);
        Encoding.ASCII.GetBytes(Uuid, bytes.AsSpan(168, 39));
        for (var i = 0; i < SlotCount; i++)
        {
            var at = SlotsAt + (i * SlotLength);
            Put32(bytes, at, Slots[i].IsActive ? SlotIsActive : SlotIsFree);
            Put32(bytes, at + 4, Slots[i].Iterations);
            Slots[i].Salt.Span.CopyTo(bytes.AsSpan(at + 8));
            Put32(bytes, at + 40, Slots[i].MaterialSector);
            Put32(bytes, at + 44, Slots[i].Stripes);
        }

        return bytes;
    }

    /// <summary>The same header with another slot.</summary>
    internal LuksHeader WithSlot(int index, LuksKeySlot slot)
    {
        var slots = Slots.ToArray();
        slots[index] = slot;
        return this with { Slots = slots };
    }

    /// <summary>Sectors for the material of a key, in whole units of 4096 bytes.</summary>
    internal static uint SectorsFor(int keyBytes)
    {
        const int unit = MaterialStart / Sector;
        var sectors = (uint)(((keyBytes * (int)Stripes) + Sector - 1) / Sector);
        return (sectors + unit - 1) / unit * unit;
    }

    /// <summary>The bytes before the encrypted disk in a volume as it is made here and by QEMU.</summary>
    internal static long PayloadOffsetFor(int keyBytes) => MaterialStart + ((long)SlotCount * SectorsFor(keyBytes) * Sector);

    /// <summary>The byte of a header where the state of a slot is.</summary>
    internal static int StateOffset(int slot) => SlotsAt + (slot * SlotLength);

    internal static BlockException Failure(string fileName, ErrorCode code, string what) =>
        new(code, $"Could not open '{fileName}': {what}", fileName);

    /// <summary>A name out of an image must not break the line that it is shown in.</summary>
    internal static string Printable(string name) => string.Concat(name.Select(c => c is < ' ' or > '~' ? '?' : c));

    private static LuksKeySlot ReadSlot(ReadOnlySpan<byte> bytes, int index, string fileName) => new()
    {
        IsActive = U32(bytes, 0) switch
        {
            SlotIsActive => true,
            SlotIsFree => false,
            _ => throw Failure(fileName, ErrorCode.Corrupt, $"the LUKS key slot {index} is neither active nor free"),
        },
        Iterations = U32(bytes, 4),
        Salt = bytes.Slice(8, SaltBytes).ToArray(),
        MaterialSector = U32(bytes, 40),
        Stripes = U32(bytes, 44),
    };

    private static string NameAt(ReadOnlySpan<byte> bytes, int at, int length, string what, string fileName)
    {
        var field = bytes.Slice(at, length);
        return field.Contains((byte)0) ? TextOf(field) : throw Failure(fileName, ErrorCode.Corrupt, $"the {what} in the LUKS header has no end");
    }

    private static string TextOf(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return Encoding.Latin1.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private static uint U32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]);

    private static void Put32(byte[] bytes, int at, uint value) => BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(at), value);
}
