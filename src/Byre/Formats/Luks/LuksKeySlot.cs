namespace Byre.Formats.Luks;

/// <summary>One of the eight key slots of a LUKS header (LUKS 1 specification, "key slot").</summary>
public sealed record LuksKeySlot
{
    /// <summary>A passphrase is stored in it.</summary>
    public bool IsActive { get; init; }

    /// <summary>Iterations of PBKDF2 for its passphrase; 0 where none was ever stored.</summary>
    public uint Iterations { get; init; }

    /// <summary>The salt for its passphrase, 32 bytes.</summary>
    public ReadOnlyMemory<byte> Salt { get; init; } = new byte[LuksHeader.SaltBytes];

    /// <summary>Where its key material begins, in sectors of 512 bytes.</summary>
    public uint MaterialSector { get; init; }

    /// <summary>Into how many parts the key is split; 4000.</summary>
    public uint Stripes { get; init; } = LuksHeader.Stripes;
}
