using Byre.Blockdev.Create;

namespace Byre.Blockdev.Amend;

/// <summary>The options of each format that can be changed of an image that exists.</summary>
internal static class AmendOptions
{
    private static readonly CreateOption[] OfQcow2 =
    [
        new("backing_file", CreateOptionType.Text, "Name of the backing file (as it is: rebase changes it)"),
        new("backing_fmt", CreateOptionType.Text, "Format of the backing file (as it is: rebase changes it)"),
        new("compat", CreateOptionType.Text, "Version of the format: v2 (0.10) or v3 (1.1)"),
        new("data_file", CreateOptionType.Text, "Name of the external data file"),
        new("data_file_raw", CreateOptionType.Switch, "The data file is a valid raw image at any time"),
        new("encrypt.iter-time", CreateOptionType.Number, "Milliseconds that deriving the key shall take"),
        new("encrypt.keyslot", CreateOptionType.Number, "The key slot that is changed"),
        new("encrypt.new-secret", CreateOptionType.Text, "ID of the secret for a new passphrase"),
        new("encrypt.old-secret", CreateOptionType.Text, "ID of the secret with the passphrase of the key slots that are changed"),
        new("encrypt.state", CreateOptionType.Text, "What the key slots become (active, inactive)"),
        new("lazy_refcounts", CreateOptionType.Switch, "Reference counts are written late"),
        new("refcount_bits", CreateOptionType.Number, "Bits of a reference count"),
        new("size", CreateOptionType.Size, "Length of the virtual disk"),
    ];

    private static readonly CreateOption[] OfLuks =
    [
        .. OfQcow2.Where(o => o.Name.StartsWith("encrypt.", StringComparison.Ordinal)).Select(o => o with { Name = o.Name["encrypt.".Length..] }),
    ];

    /// <summary>In alphabetical order; null for a format of which nothing can be changed.</summary>
    public static IReadOnlyList<CreateOption>? Describe(string format) => format switch
    {
        "qcow2" => OfQcow2,
        "luks" => OfLuks,
        _ => null,
    };
}
