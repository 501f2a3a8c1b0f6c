namespace Byre.Nodes;

/// <summary>What is to become of the passphrases of an encrypted image. The caller overwrites the passphrases afterwards.</summary>
public sealed record KeySlotChange
{
    /// <summary>A passphrase is added; else one is erased.</summary>
    public required bool Activate { get; init; }

    /// <summary>The slot, from 0; null for the first free one, or for those that <see cref="OldPassphrase"/> opens.</summary>
    public long? Slot { get; init; }

    /// <summary>The passphrase to add, as UTF-8; null where one is erased.</summary>
    public ReadOnlyMemory<byte>? NewPassphrase { get; init; }

    /// <summary>The passphrase to erase, as UTF-8, or null.</summary>
    public ReadOnlyMemory<byte>? OldPassphrase { get; init; }

    /// <summary>Milliseconds that trying the new passphrase shall take; null for the format's choice.</summary>
    public long? IterationMilliseconds { get; init; }
}
