namespace Byre.Formats.Qcow2.Layout;

/// <summary>The types of header extensions (qcow2 specification, "Header extensions").</summary>
public static class HeaderExtensionTypes
{
    /// <summary>The end of the extensions.</summary>
    public const uint End = 0;

    /// <summary>The name of the backing file's format.</summary>
    public const uint BackingFormat = 0xe2792aca;

    /// <summary>The feature name table.</summary>
    public const uint FeatureNames = 0x6803f857;

    /// <summary>Where the persistent bitmaps are.</summary>
    public const uint Bitmaps = 0x23852875;

    /// <summary>Where the LUKS header is.</summary>
    public const uint FullDiskEncryption = 0x0537be77;

    /// <summary>The name of the external data file.</summary>
    public const uint DataFileName = 0x44415441;
}
