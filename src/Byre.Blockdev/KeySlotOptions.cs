using Byre.Blockdev.Options;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>Reads what is to become of the passphrases of an encrypted image.</summary>
public static class KeySlotOptions
{
    /// <summary>Reads the options "state" (active, inactive), "new-secret", "old-secret", "keyslot" and "iter-time".</summary>
    /// <param name="options">The options, without what stands before their names ("encrypt.").</param>
    /// <param name="secrets">The secrets that they refer to, or null.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: one is unknown, has no value of its kind, or the state is missing;
    /// <see cref="ErrorCode.NotFound"/>: there is no such secret.
    /// </exception>
    public static KeySlotChange Read(IReadOnlyDictionary<string, string> options, SecretStore? secrets)
    {
        ArgumentNullException.ThrowIfNull(options);
        var set = new OptionSet(new Dictionary<string, string>(options, StringComparer.Ordinal));
        var state = set.TakeWord("state", "active", "inactive") ?? throw new BlockException(ErrorCode.Invalid, "Parameter 'state' is missing");
        var change = new KeySlotChange
        {
            Activate = state == "active",
            NewPassphrase = Passphrase(set.Take("new-secret"), secrets),
            OldPassphrase = Passphrase(set.Take("old-secret"), secrets),
            Slot = set.TakeNumber("keyslot"),
            IterationMilliseconds = set.TakeNumber("iter-time"),
        };
        set.CheckEmpty("luks");
        return change;
    }

    private static ReadOnlyMemory<byte>? Passphrase(string? id, SecretStore? secrets) => id is null ? (ReadOnlyMemory<byte>?)null
        : secrets is not null ? secrets.Passphrase(id).Memory
        : throw new BlockException(ErrorCode.NotFound, $"No secret with id '{id}'");
}
