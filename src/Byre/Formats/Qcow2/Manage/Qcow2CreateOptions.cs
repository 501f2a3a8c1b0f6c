using System.Numerics;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>What a new image is to be. <see cref="Qcow2Creator.Validate"/> says whether the wishes go together.</summary>
public sealed record Qcow2CreateOptions
{
    /// <summary>The disk's length in bytes, at least 0; rounded up to whole sectors of 512 bytes.</summary>
    public required long Size { get; init; }

    /// <summary>2 (compat=0.10) or 3 (compat=1.1).</summary>
    public int Version { get; init; } = 3;

    /// <summary>A cluster is 1 &lt;&lt; this many bytes; 9 to 21.</summary>
    public int ClusterBits { get; init; } = 16;

    /// <summary>Bits of a refcount: 1, 2, 4, 8, 16, 32 or 64; 16 in version 2.</summary>
    public int RefcountBits { get; init; } = 16;

    /// <summary>Refcount updates may be put off.</summary>
    public bool LazyRefcounts { get; init; }

    /// <summary>L2 entries describe 32 subclusters each.</summary>
    public bool ExtendedL2 { get; init; }

    /// <summary>How compressed clusters are stored.</summary>
    public Qcow2CompressionType CompressionType { get; init; }

    /// <summary>The backing file's name as it is stored, or null.</summary>
    public string? BackingFile { get; init; }

    /// <summary>The backing file's format as it is stored, or null.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>The external data file's name as it is stored, or null.</summary>
    public string? DataFileName { get; init; }

    /// <summary>The external data file is, byte for byte, what the guest sees. Maps every cluster at creation.</summary>
    public bool DataFileRaw { get; init; }

    /// <summary>What is allocated at creation.</summary>
    public Preallocation Preallocation { get; init; }

    /// <summary>How the image is encrypted, by LUKS; null for an image that is not.</summary>
    public LuksCreateOptions? Encryption { get; init; }

    /// <summary><see cref="Size"/> in whole sectors, as the header says it.</summary>
    internal long RoundedSize => (Size + 511) & ~511L;

    /// <summary>
    /// The preallocation as it is done: a raw data file needs its clusters mapped, or they would not be seen.
    /// </summary>
    internal Preallocation EffectivePreallocation =>
        DataFileRaw && Preallocation == Preallocation.Off ? Preallocation.Metadata : Preallocation;

    internal ImageGeometry Geometry => ImageGeometry.From(
        ClusterBits, ExtendedL2, BitOperations.Log2((uint)RefcountBits), Version, DataFileName is not null);
}
