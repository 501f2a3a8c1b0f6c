using Byre.Nodes;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// The header cluster of a qcow2 image, version 2 or 3: fields, extensions and the backing file's name (qcow2
/// specification, "Header"). Immutable; change it with <c>with</c>.
/// </summary>
public sealed record Qcow2Header
{
    /// <summary>2 or 3.</summary>
    public required int Version { get; init; }

    /// <summary>A cluster is 1 &lt;&lt; this many bytes; 9 to 21.</summary>
    public required int ClusterBits { get; init; }

    /// <summary>Bytes of a cluster.</summary>
    public int ClusterSize => 1 << ClusterBits;

    /// <summary>The disk's length in bytes as the guest sees it, at least 0.</summary>
    public required long Size { get; init; }

    /// <summary>0 none, 1 AES, 2 LUKS.</summary>
    public uint CryptMethod { get; init; }

    /// <summary>Entries of the active L1 table; enough for <see cref="Size"/>, at most 4 Mi.</summary>
    public uint L1Entries { get; init; }

    /// <summary>Where the active L1 table is; a multiple of the cluster size. 0 only where it has no entries.</summary>
    public long L1Offset { get; init; }

    /// <summary>Where the refcount table is; a multiple of the cluster size.</summary>
    public long RefcountTableOffset { get; init; }

    /// <summary>Clusters of the refcount table; 0 in a damaged image that only a repair may open.</summary>
    public uint RefcountTableClusters { get; init; }

    /// <summary>Snapshots in the snapshot table, at most 65536.</summary>
    public uint SnapshotCount { get; init; }

    /// <summary>Where the snapshot table is; a multiple of the cluster size where there are snapshots.</summary>
    public long SnapshotsOffset { get; init; }

    /// <summary>Incompatible features; all of them are known.</summary>
    public IncompatibleFeatures Incompatible { get; init; }

    /// <summary>Compatible features, unknown ones too.</summary>
    public CompatibleFeatures Compatible { get; init; }

    /// <summary>Autoclear features, unknown ones too: whoever writes the image clears those first.</summary>
    public AutoclearFeatures Autoclear { get; init; }

    /// <summary>A refcount is 1 &lt;&lt; this many bits wide; 0 to 6.</summary>
    public int RefcountOrder { get; init; } = 4;

    /// <summary>Bits of a refcount: 1, 2, 4, 8, 16, 32 or 64.</summary>
    public int RefcountBits => 1 << RefcountOrder;

    /// <summary>Bytes of the fixed fields as found in the image: 72 in version 2, at least 104 in version 3.</summary>
    public int HeaderLength { get; init; } = HeaderFields.Version3Length;

    /// <summary>The fields after those this program knows, kept as they are.</summary>
    public ReadOnlyMemory<byte> UnknownFields { get; init; }

    /// <summary>How compressed clusters are stored.</summary>
    public Qcow2CompressionType CompressionType { get; init; }

    /// <summary>L2 entries describe subclusters.</summary>
    public bool HasSubclusters => (Incompatible & IncompatibleFeatures.ExtendedL2) != 0;

    /// <summary>Guest clusters are in an external data file.</summary>
    public bool HasDataFile => (Incompatible & IncompatibleFeatures.DataFile) != 0;

    /// <summary>Bytes of an L2 entry: 8, or 16 with subclusters.</summary>
    public int L2EntrySize => HasSubclusters ? 16 : 8;

    /// <summary>The backing file's name as stored, or null.</summary>
    public string? BackingFile { get; init; }

    /// <summary>The backing file's format as stored, or null.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>The external data file's name as stored, or null.</summary>
    public string? DataFileName { get; init; }

    /// <summary>The image's own feature name table.</summary>
    public IReadOnlyList<FeatureName> FeatureNames { get; init; } = [];

    /// <summary>
    /// All extensions as found, in their order. When the header is written those of the backing format, the data file and the
    /// feature names are made from the properties; the others are written as they are here.
    /// </summary>
    public IReadOnlyList<HeaderExtension> Extensions { get; init; } = [];

    /// <summary>Reads a header and checks every field.</summary>
    /// <param name="bytes">The file's first bytes: the header cluster, or less where the file is shorter.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.WrongFormat"/>: no qcow2 image. <see cref="ErrorCode.NotSupported"/>: a version or feature that is
    /// not known. <see cref="ErrorCode.Corrupt"/>: a field contradicts the specification. <see cref="ErrorCode.TooLarge"/>: a
    /// table is over the limit.
    /// </exception>
    public static Qcow2Header Parse(ReadOnlySpan<byte> bytes, string fileName) => HeaderParser.Parse(bytes, fileName, forCheck: false);

    /// <summary>
    /// Reads the header of an image that is to be checked: the refcount table and the snapshot table may be where none can be.
    /// </summary>
    /// <param name="bytes">As for <see cref="Parse"/>.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <exception cref="BlockException">As <see cref="Parse"/>, for all other fields.</exception>
    public static Qcow2Header ParseForCheck(ReadOnlySpan<byte> bytes, string fileName) => HeaderParser.Parse(bytes, fileName, forCheck: true);

    /// <summary>The place and the length of the refcount table are possible; always so where the image is not opened for a check.</summary>
    internal bool HasPossibleRefcountTable => RefcountTableClusters == 0
        || (RefcountTableClusters <= (uint)(Qcow2Limits.MaxRefcountTableBytes >> ClusterBits)
            && HeaderParser.IsPossibleTable(this, RefcountTableOffset, (long)RefcountTableClusters << ClusterBits));

    /// <summary>The used part of the header cluster: fields, extensions, the backing file's name.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it does not fit in a cluster.</exception>
    public byte[] ToBytes() => HeaderWriter.ToBytes(this);

    /// <summary>The first extension of a type, or null.</summary>
    public HeaderExtension? FindExtension(uint type)
    {
        foreach (var extension in Extensions)
        {
            if (extension.Type == type)
            {
                return extension;
            }
        }

        return null;
    }

    /// <summary>The header with one extension of a type instead of those it has, or with none.</summary>
    /// <param name="type">The type; none of those that are made from properties.</param>
    /// <param name="data">The extension's data; null for no such extension.</param>
    internal Qcow2Header WithExtension(uint type, ReadOnlyMemory<byte>? data)
    {
        var kept = Extensions.Where(e => e.Type != type);
        return this with { Extensions = data is { } d ? [.. kept, new HeaderExtension(type, d)] : [.. kept] };
    }
}
