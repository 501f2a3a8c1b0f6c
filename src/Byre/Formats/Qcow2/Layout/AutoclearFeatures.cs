namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// Features that a program which does not know them clears before it writes (qcow2 specification, "autoclear_features").
/// </summary>
[Flags]
public enum AutoclearFeatures : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The bitmaps extension is consistent.</summary>
    Bitmaps = 1,

    /// <summary>The external data file is, byte for byte, what the guest sees.</summary>
    RawExternalData = 2,

    /// <summary>Every cluster is known to read as zeroes, and there is no backing file.</summary>
    AllZero = 4,
}
