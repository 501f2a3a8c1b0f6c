using System.Security.Cryptography;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>
/// Adds and erases the passphrases of a volume. New key material is durable before its slot becomes active, and a slot is
/// durably inactive before its material is overwritten, so that what the header says of a slot is true at any instant.
/// </summary>
internal sealed class LuksKeySlots(LuksArea area, LuksHeader header, SecretBytes masterKey) : IDisposable
{
    private const int ErasePasses = 4;

    private readonly SemaphoreSlim mutex = new(1, 1);

    /// <summary>The header as it is now.</summary>
    public LuksHeader Header { get; private set; } = header;

    /// <summary>Does what is asked for, or nothing.</summary>
    public async ValueTask ChangeAsync(KeySlotChange change, bool force)
    {
        Check(change);
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            if (change.Activate)
            {
                await AddAsync(change, force).ConfigureAwait(false);
            }
            else
            {
                await EraseAsync(change, force).ConfigureAwait(false);
            }
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => mutex.Dispose();

    private static void Check(KeySlotChange change)
    {
        if (change.Activate && change.OldPassphrase is not null)
        {
            throw Invalid("An old passphrase (old-secret) has no meaning where a key slot is activated");
        }

        if (change.Activate && change.NewPassphrase is null)
        {
            throw Invalid("A new passphrase (new-secret) is needed to activate a key slot");
        }

        if (!change.Activate && change.NewPassphrase is not null)
        {
            throw Invalid("A new passphrase (new-secret) has no meaning where a key slot is erased");
        }

        if (!change.Activate && change.IterationMilliseconds is not null)
        {
            throw Invalid("iter-time has no meaning where a key slot is erased");
        }

        if (change.Slot is < 0 or >= LuksHeader.SlotCount)
        {
            throw Invalid($"There is no key slot {change.Slot}: they are 0 to {LuksHeader.SlotCount - 1}");
        }
    }

    private async ValueTask AddAsync(KeySlotChange change, bool force)
    {
        var free = FreeSlot(-1);
        if (change.Slot is null && free < 0)
        {
            throw Invalid("No key slot is free: all are in use");
        }

        var slot = (int)(change.Slot ?? free);
        var wasActive = Header.Slots[slot].IsActive;
        if (wasActive && !force)
        {
            throw Refused($"The key slot {slot} is in use: erase it first");
        }

        var iterations = LuksSlotKeys.IterationsFor(
            Header.Hash, Header.Cipher.KeyBytes, change.IterationMilliseconds ?? LuksCreateOptions.DefaultIterationMilliseconds, forMaster: false);
        var passphrase = change.NewPassphrase!.Value;

        // While the only passphrase is replaced, another slot has the new one: else a crash would lose the disk.
        var spare = wasActive && ActiveSlots() == 1 ? FreeSlot(slot) : -1;
        if (spare >= 0)
        {
            await StoreAsync(spare, passphrase, iterations).ConfigureAwait(false);
        }

        if (wasActive)
        {
            await DeactivateAsync(slot).ConfigureAwait(false);
        }

        await StoreAsync(slot, passphrase, iterations).ConfigureAwait(false);
        if (spare >= 0)
        {
            await WipeAsync(spare).ConfigureAwait(false);
        }
    }

    private async ValueTask EraseAsync(KeySlotChange change, bool force)
    {
        var doomed = new List<int>();
        if (change.OldPassphrase is { } old)
        {
            using var passphrase = new SecretBytes(old.Span);
            for (var i = 0; i < LuksHeader.SlotCount; i++)
            {
                if (change.Slot is { } only && only != i)
                {
                    continue;
                }

                using var key = await LuksSlotKeys.TrySlotAsync(Header, area, i, passphrase).ConfigureAwait(false);
                if (key is not null)
                {
                    doomed.Add(i);
                }
            }

            if (doomed.Count == 0)
            {
                throw Refused(change.Slot is { } given
                    ? $"The old passphrase (old-secret) does not open the key slot {given}"
                    : "The old passphrase (old-secret) opens no key slot");
            }
        }
        else if (change.Slot is { } slot)
        {
            if (!Header.Slots[(int)slot].IsActive)
            {
                throw Invalid($"The key slot {slot} is erased already");
            }

            doomed.Add((int)slot);
        }
        else
        {
            throw Invalid("To erase a key slot, its number (keyslot) or its passphrase (old-secret) is needed");
        }

        if (doomed.Count == ActiveSlots() && !force)
        {
            throw Refused("No key slot would be left, and the data would be lost for ever; it can be forced");
        }

        foreach (var i in doomed)
        {
            await WipeAsync(i).ConfigureAwait(false);
        }
    }

    /// <summary>Stores the master key in an inactive slot, and activates it.</summary>
    private async ValueTask StoreAsync(int index, ReadOnlyMemory<byte> passphrase, uint iterations)
    {
        var slot = Header.Slots[index] with { Iterations = iterations, Salt = RandomNumberGenerator.GetBytes(LuksHeader.SaltBytes) };
        var material = LuksSlotKeys.Seal(Header, slot, masterKey.Span, passphrase.Span);
        await area.WriteAsync((long)slot.MaterialSector * LuksHeader.Sector, material).ConfigureAwait(false);
        var prepared = Header.WithSlot(index, slot);
        await area.WriteHeaderAsync(prepared).ConfigureAwait(false);
        await area.FlushAsync().ConfigureAwait(false);
        Header = prepared;
        await SwitchAsync(index, isActive: true).ConfigureAwait(false);
    }

    /// <summary>Makes a slot inactive, and then overwrites its material.</summary>
    private async ValueTask WipeAsync(int index)
    {
        await DeactivateAsync(index).ConfigureAwait(false);
        var garbage = new byte[Header.SlotSectors * LuksHeader.Sector];
        for (var i = 0; i < ErasePasses; i++)
        {
            RandomNumberGenerator.Fill(garbage);
            await area.WriteAsync((long)Header.Slots[index].MaterialSector * LuksHeader.Sector, garbage).ConfigureAwait(false);
            await area.FlushAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask DeactivateAsync(int index)
    {
        await SwitchAsync(index, isActive: false).ConfigureAwait(false);
        var empty = Header.WithSlot(index, Header.Slots[index] with { Iterations = 0, Salt = new byte[LuksHeader.SaltBytes] });
        await area.WriteHeaderAsync(empty).ConfigureAwait(false);
        await area.FlushAsync().ConfigureAwait(false);
        Header = empty;
    }

    /// <summary>One write of the one sector that has the slot's state.</summary>
    private async ValueTask SwitchAsync(int index, bool isActive)
    {
        var switched = Header.WithSlot(index, Header.Slots[index] with { IsActive = isActive });
        await area.WriteHeaderAsync(switched, LuksHeader.StateOffset(index) / LuksHeader.Sector, 1).ConfigureAwait(false);
        await area.FlushAsync().ConfigureAwait(false);
        Header = switched;
    }

    private int ActiveSlots() => Header.Slots.Count(s => s.IsActive);

    private int FreeSlot(int except)
    {
        for (var i = 0; i < LuksHeader.SlotCount; i++)
        {
            if (i != except && !Header.Slots[i].IsActive)
            {
                return i;
            }
        }

        return -1;
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);

    private static BlockException Refused(string message) => new(ErrorCode.NotPermitted, message);
}
