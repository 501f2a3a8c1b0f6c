namespace Byre.Blockdev.Create;

/// <summary>The options of each format that can be created, in the order in which their values are shown.</summary>
internal static class CreateOptions
{
    private static readonly CreateOption Size = new("size", CreateOptionType.Size, "Length of the virtual disk");

    private static readonly CreateOption[] OfFile =
    [
        Size,
        new("nocow", CreateOptionType.Switch, "No copy-on-write in the file system (btrfs)"),
        new("preallocation", CreateOptionType.Text, "What is allocated at once (off, falloc, full)"),
        new("extent_size_hint", CreateOptionType.Size, "How much the file system may allocate at a time, 0 for its own choice"),
    ];

    private static readonly CreateOption[] OfLuks =
    [
        Size,
        new("key-secret", CreateOptionType.Text, "ID of the secret with the passphrase"),
        new("cipher-alg", CreateOptionType.Text, "Cipher"),
        new("cipher-mode", CreateOptionType.Text, "Mode of the cipher"),
        new("ivgen-alg", CreateOptionType.Text, "How initialisation vectors are made"),
        new("ivgen-hash-alg", CreateOptionType.Text, "Hash for the initialisation vectors"),
        new("hash-alg", CreateOptionType.Text, "Hash of passphrases"),
        new("iter-time", CreateOptionType.Number, "Milliseconds that trying a passphrase shall take"),
        new("detached-header", CreateOptionType.Switch, "A header apart from the disk (not supported)"),
        new("nocow", CreateOptionType.Switch, "No copy-on-write in the file system (btrfs)"),
        new("preallocation", CreateOptionType.Text, "What is allocated at once (off, falloc, full)"),
        new("extent_size_hint", CreateOptionType.Size, "How much the file system may allocate at a time, 0 for its own choice"),
    ];

    private static readonly CreateOption[] OfQcow2 =
    [
        new("encryption", CreateOptionType.Switch, "Encryption with the format 'aes' (old; use encrypt.format)"),
        new("encrypt.format", CreateOptionType.Text, "Format of the encryption ('luks', 'aes')"),
        new("encrypt.key-secret", CreateOptionType.Text, "ID of the secret with the key or passphrase"),
        new("encrypt.cipher-alg", CreateOptionType.Text, "Cipher"),
        new("encrypt.cipher-mode", CreateOptionType.Text, "Mode of the cipher"),
        new("encrypt.ivgen-alg", CreateOptionType.Text, "How initialisation vectors are made"),
        new("encrypt.ivgen-hash-alg", CreateOptionType.Text, "Hash for the initialisation vectors"),
        new("encrypt.hash-alg", CreateOptionType.Text, "Hash of the encryption"),
        new("encrypt.iter-time", CreateOptionType.Number, "Milliseconds that deriving the key shall take"),
        new("cluster_size", CreateOptionType.Size, "Size of a cluster", "65536"),
        new("extended_l2", CreateOptionType.Switch, "L2 entries with 32 subclusters", "off"),
        new("preallocation", CreateOptionType.Text, "What is allocated at once (off, metadata, falloc, full)"),
        new("compression_type", CreateOptionType.Text, "How compressed clusters are compressed (zlib, zstd)", "zlib"),
        Size,
        new("compat", CreateOptionType.Text, "Version of the format: v2 (0.10) or v3 (1.1)"),
        new("backing_file", CreateOptionType.Text, "Name of the backing file"),
        new("backing_fmt", CreateOptionType.Text, "Format of the backing file"),
        new("data_file", CreateOptionType.Text, "Name of an external data file"),
        new("data_file_raw", CreateOptionType.Switch, "The data file is a valid raw image at any time"),
        new("lazy_refcounts", CreateOptionType.Switch, "Reference counts are written late", "off"),
        new("refcount_bits", CreateOptionType.Number, "Bits of a reference count", "16"),
        new("nocow", CreateOptionType.Switch, "No copy-on-write in the file system (btrfs)"),
        new("extent_size_hint", CreateOptionType.Size, "How much the file system may allocate at a time, 0 for its own choice"),
    ];

    /// <summary>In the order in which values are shown; null for a format whose images cannot be created.</summary>
    public static IReadOnlyList<CreateOption>? InOrder(string format) => format switch
    {
        "raw" or "file" => OfFile,
        "luks" => OfLuks,
        "qcow2" => OfQcow2,
        _ => null,
    };

    /// <summary>In alphabetical order; null for a format whose images cannot be created.</summary>
    public static IReadOnlyList<CreateOption>? Describe(string format) =>
        InOrder(format) is { } options ? [.. options.OrderBy(o => o.Name, StringComparer.Ordinal)] : null;
}
