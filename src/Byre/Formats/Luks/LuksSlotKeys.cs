using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>Stores the master key in slots, and gets it back with a passphrase.</summary>
internal static class LuksSlotKeys
{
    private const uint LeastIterations = 1000;
    private const int MasterShare = 8; // the digest of the master key takes an eighth of a passphrase's time

    /// <summary>Iterations for a time.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: too long a time.</exception>
    public static uint IterationsFor(HashKind hash, int keyBytes, long milliseconds, bool forMaster)
    {
        if (milliseconds == 0)
        {
            return LeastIterations;
        }

        using var digest = new Digest(hash);
        var perSecond = PassphraseCost.IterationsPerSecond(digest, keyBytes);
        var wanted = (Int128)perSecond * milliseconds / 1000 / (forMaster ? MasterShare : 1);
        return wanted > int.MaxValue
            ? throw new BlockException(ErrorCode.Invalid, $"iter-time {milliseconds} is too long: it would take over {int.MaxValue} iterations")
            : Math.Max(LeastIterations, (uint)wanted);
    }

    /// <summary>The digest of a master key.</summary>
    public static byte[] DigestOf(HashKind hash, ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> salt, uint iterations)
    {
        using var digest = new Digest(hash);
        var result = new byte[LuksHeader.DigestBytes];
        digest.Derive(masterKey, salt, (int)iterations, result);
        return result;
    }

    /// <summary>Tries a passphrase on every active slot.</summary>
    /// <returns>The master key, or null where it opens none.</returns>
    public static async ValueTask<SecretBytes?> FindMasterKeyAsync(LuksHeader header, LuksArea area, SecretBytes passphrase)
    {
        for (var i = 0; i < LuksHeader.SlotCount; i++)
        {
            if (await TrySlotAsync(header, area, i, passphrase).ConfigureAwait(false) is { } key)
            {
                return key;
            }
        }

        return null;
    }

    /// <summary>Tries a passphrase on a slot.</summary>
    /// <returns>The master key, or null where the slot is free or the passphrase another one.</returns>
    public static async ValueTask<SecretBytes?> TrySlotAsync(LuksHeader header, LuksArea area, int slot, SecretBytes passphrase)
    {
        if (!header.Slots[slot].IsActive)
        {
            return null;
        }

        using var material = new SecretBytes(MaterialBytes(header));
        await area.ReadAsync((long)header.Slots[slot].MaterialSector * LuksHeader.Sector, material.Memory).ConfigureAwait(false);
        return Open(header, slot, passphrase.Span, material.Span);
    }

    /// <summary>Encrypts a master key for a slot.</summary>
    /// <returns>What belongs into the slot's material.</returns>
    public static byte[] Seal(LuksHeader header, LuksKeySlot slot, ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> passphrase)
    {
        using var digest = new Digest(header.Hash);
        using var parts = new SecretBytes(MaterialBytes(header));
        KeySplitter.Split(digest, masterKey, parts.Span[..header.SplitKeyBytes]);
        using var crypt = CryptFor(header, slot, digest, passphrase);
        crypt.Encrypt(parts.Span, parts.Span, 0);
        return parts.Span.ToArray();
    }

    private static int MaterialBytes(LuksHeader header) => (header.SplitKeyBytes + LuksHeader.Sector - 1) / LuksHeader.Sector * LuksHeader.Sector;

    private static SecretBytes? Open(LuksHeader header, int slot, ReadOnlySpan<byte> passphrase, Span<byte> material)
    {
        using var digest = new Digest(header.Hash);
        using (var crypt = CryptFor(header, header.Slots[slot], digest, passphrase))
        {
            crypt.Decrypt(material, 0);
        }

        var key = new SecretBytes(header.Cipher.KeyBytes);
        KeySplitter.Merge(digest, material[..header.SplitKeyBytes], key.Span);
        if (DigestOf(header.Hash, key.Span, header.MasterSalt.Span, header.MasterIterations).AsSpan().SequenceEqual(header.MasterDigest.Span))
        {
            return key;
        }

        key.Dispose();
        return null;
    }

    private static SectorCrypt CryptFor(LuksHeader header, LuksKeySlot slot, Digest digest, ReadOnlySpan<byte> passphrase)
    {
        var key = new SecretBytes(header.Cipher.KeyBytes);
        digest.Derive(passphrase, slot.Salt.Span, (int)slot.Iterations, key.Span);
        return new SectorCrypt(header.Cipher, key);
    }
}
