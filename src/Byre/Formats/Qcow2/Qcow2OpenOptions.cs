using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Qcow2;

/// <summary>How a qcow2 image is opened.</summary>
public sealed record Qcow2OpenOptions
{
    /// <summary>Nothing is written, not even the header.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>
    /// The most bytes of L2 tables in memory. The default is as much as fits into 128 MiB with what keeping track of it takes:
    /// random access over 1 TiB at clusters of 64 KiB finds 24 of 25 entries there. Only what is used is taken.
    /// </summary>
    public long L2CacheBytes { get; init; } = 123L << 20;

    /// <summary>Bytes of an L2 table that are read, kept and dropped together: a power of two from 512 to the cluster size; null chooses.</summary>
    public int? L2SliceBytes { get; init; }

    /// <summary>Parts of tables that nobody used for so long leave the memory; zero keeps them. The default is QEMU's.</summary>
    public TimeSpan CacheCleanInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The most memory for refcount blocks, in bytes.</summary>
    public long RefcountCacheBytes { get; init; } = 4L << 20;

    /// <summary>Callers have threads of their own, which may be kept busy: clusters are decompressed there and not on the thread pool.</summary>
    public bool Blocking { get; init; }

    /// <summary>What writes are checked against.</summary>
    public OverlapChecks OverlapChecks { get; init; } = OverlapChecks.Cached;

    /// <summary>Space that a discard frees is given back to the file.</summary>
    public bool PassDiscardRequest { get; init; } = true;

    /// <summary>Space that a deleted snapshot frees is given back to the file.</summary>
    public bool PassDiscardSnapshot { get; init; } = true;

    /// <summary>Space that is freed otherwise is given back to the file.</summary>
    public bool PassDiscardOther { get; init; }

    /// <summary>A discard keeps the mapping of host clusters. Needs an image of version 3.</summary>
    public bool DiscardNoUnref { get; init; }

    /// <summary>Opens an image although it is marked dirty or corrupt, and changes nothing of itself.</summary>
    public bool ForCheck { get; init; }

    /// <summary>The passphrase of an encrypted image, as UTF-8, or null; not needed any more once the image is open.</summary>
    public SecretBytes? Passphrase { get; init; }

    /// <summary>The snapshot that is shown instead of the disk, or null. It is only read.</summary>
    public SnapshotSelector? Snapshot { get; init; }

    /// <summary>Refcounts are written late, under the dirty bit; null does as the image says.</summary>
    public bool? LazyRefcounts { get; init; }
}
