using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>A LUKS volume that is unlocked: its header, and what encrypts and decrypts its sectors.</summary>
public sealed class LuksVolume : IDisposable
{
    private readonly LuksArea area;
    private readonly LuksKeySlots slots;

    private LuksVolume(LuksArea area, LuksHeader header, SecretBytes masterKey)
    {
        this.area = area;
        Crypt = new SectorCrypt(header.Cipher, masterKey);
        slots = new LuksKeySlots(area, header, masterKey);
    }

    /// <summary>The header as it is now.</summary>
    public LuksHeader Header => slots.Header;

    /// <summary>Encrypts and decrypts sectors.</summary>
    public SectorCrypt Crypt { get; }

    /// <summary>Unlocks a volume.</summary>
    /// <param name="area">Where its header is.</param>
    /// <param name="passphrase">The passphrase of one of the slots; not needed any more afterwards.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotPermitted"/>: the passphrase is that of no slot; or the header is not valid, or cannot be read.
    /// </exception>
    public static async ValueTask<LuksVolume> UnlockAsync(LuksArea area, SecretBytes passphrase)
    {
        ArgumentNullException.ThrowIfNull(area);
        ArgumentNullException.ThrowIfNull(passphrase);
        var header = await area.ReadHeaderAsync().ConfigureAwait(false);
        var key = await LuksSlotKeys.FindMasterKeyAsync(header, area, passphrase).ConfigureAwait(false)
            ?? throw new BlockException(ErrorCode.NotPermitted, $"Could not open '{area.FileName}': the passphrase is wrong, it opens none of the key slots", area.FileName);
        return new LuksVolume(area, header, key);
    }

    /// <summary>Adds or erases passphrases; see <see cref="IKeySlots"/>.</summary>
    /// <param name="change">What is to change.</param>
    /// <param name="force">Even what may lose all data.</param>
    public ValueTask ChangeSlotsAsync(KeySlotChange change, bool force)
    {
        ArgumentNullException.ThrowIfNull(change);
        return slots.ChangeAsync(change, force);
    }

    /// <inheritdoc/>
    public override string ToString() => $"LUKS volume of '{area.FileName}'";

    /// <summary>Overwrites the keys.</summary>
    public void Dispose()
    {
        Crypt.Dispose();
        slots.Dispose();
    }
}
