using System.Security.Cryptography;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>Makes the header of a new LUKS volume, with one passphrase in slot 0.</summary>
public static class LuksFormatter
{
    /// <summary>Throws where the wishes do not go together, or the system's libraries cannot do them.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/> or <see cref="ErrorCode.NotSupported"/>.</exception>
    public static void Validate(LuksCreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Cipher.Validate();
        ArgumentOutOfRangeException.ThrowIfNegative(options.IterationMilliseconds);
        using var crypt = new SectorCrypt(options.Cipher, SecretBytes.Random(options.Cipher.KeyBytes));
        using var digest = new Digest(options.Hash);
    }

    /// <summary>
    /// Writes a header and the key material of slot 0; the space of the other slots is left as it is. Not flushed. This takes
    /// some tenths of a second, and what the options ask for.
    /// </summary>
    /// <param name="area">Where; at least <see cref="LuksCreateOptions.PayloadOffset"/> bytes.</param>
    /// <param name="options">How.</param>
    /// <returns>The header that was written.</returns>
    /// <exception cref="BlockException">As <see cref="Validate"/>, or the file cannot be written.</exception>
    public static async ValueTask<LuksHeader> FormatAsync(LuksArea area, LuksCreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(area);
        Validate(options);
        using var master = SecretBytes.Random(options.Cipher.KeyBytes);
        var header = HeaderFor(options, master);
        var material = LuksSlotKeys.Seal(header, header.Slots[0], master.Span, options.Passphrase.Span);

        // The header comes last: a volume that is not complete is none.
        await area.WriteAsync((long)header.Slots[0].MaterialSector * LuksHeader.Sector, material).ConfigureAwait(false);
        await area.WriteHeaderAsync(header).ConfigureAwait(false);
        return header;
    }

    private static LuksHeader HeaderFor(LuksCreateOptions options, SecretBytes master)
    {
        var masterSalt = RandomNumberGenerator.GetBytes(LuksHeader.SaltBytes);
        var masterIterations = LuksSlotKeys.IterationsFor(options.Hash, LuksHeader.DigestBytes, options.IterationMilliseconds, forMaster: true);
        var slots = new LuksKeySlot[LuksHeader.SlotCount];
        for (var i = 0; i < slots.Length; i++)
        {
            slots[i] = new LuksKeySlot
            {
                MaterialSector = (LuksHeader.MaterialStart / LuksHeader.Sector) + ((uint)i * LuksHeader.SectorsFor(options.Cipher.KeyBytes)),
            };
        }

        slots[0] = slots[0] with
        {
            IsActive = true,
            Salt = RandomNumberGenerator.GetBytes(LuksHeader.SaltBytes),
            Iterations = LuksSlotKeys.IterationsFor(options.Hash, options.Cipher.KeyBytes, options.IterationMilliseconds, forMaster: false),
        };
        return new LuksHeader
        {
            Cipher = options.Cipher,
            Hash = options.Hash,
            PayloadSector = (uint)(options.PayloadOffset / LuksHeader.Sector),
            MasterSalt = masterSalt,
            MasterIterations = masterIterations,
            MasterDigest = LuksSlotKeys.DigestOf(options.Hash, master.Span, masterSalt, masterIterations),
            Uuid = Guid.NewGuid().ToString(),
            Slots = slots,
        };
    }
}
