namespace Byre.Formats.Qcow2.Layout;

/// <summary>Features that a program must know to open an image (qcow2 specification, "incompatible_features").</summary>
[Flags]
public enum IncompatibleFeatures : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Refcounts may be stale; they must be rebuilt before the image is written.</summary>
    Dirty = 1,

    /// <summary>Some structure is damaged; the image must not be written except to repair it.</summary>
    Corrupt = 2,

    /// <summary>Guest clusters are in an external data file.</summary>
    DataFile = 4,

    /// <summary>The compression type is another one than zlib.</summary>
    CompressionType = 8,

    /// <summary>L2 entries are 16 bytes long and describe 32 subclusters each.</summary>
    ExtendedL2 = 16,

    /// <summary>
    /// A copy into the image has not ended (an extension of this program: any other bit that is not known has the same
    /// effect). Such an image is not opened.
    /// </summary>
    Incomplete = 1UL << 63,
}
