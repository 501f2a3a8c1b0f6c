namespace Byre.Interop.Combined;

/// <summary>What a tool may refuse, and the words it has for that; anything else it says is a failure.</summary>
internal static class CombinedRefusals
{
    private static readonly (string Verb, string Words)[] Known =
    [
        ("snapshot", "has dirty bitmaps, which would not be true of the disk as it was"), // Byre's rule: QEMU lets them lie
        ("snapshot", "Device has active dirty bitmaps"), // QEMU's, where the lengths differ or bitmaps are in use
        ("snapshot", "-22 (Invalid argument)"), // compressed clusters share one of the file: its narrow count is full
        ("amend", "version 2 (compat=0.10) has 16 bits only"),
        ("amend", "compat=0.10 requires refcount_bits=16"),
        ("amend", "Refcount widths other than 16 bits require compatibility level 1.1"),
        ("amend", "Internal snapshots prevent downgrade of image"),
        ("amend", "Lazy refcounts only supported with compatibility level 1.1"),
        ("amend", "Cannot downgrade an image with"),
        ("resize", "has snapshots, which do not know their own length"), // of version 2
        ("resize", "Can't resize a v2 image which has snapshots"),
    ];

    public static bool IsKnown(string verb, string errors) =>
        Known.Any(k => k.Verb == verb && errors.Contains(k.Words, StringComparison.OrdinalIgnoreCase));
}
