namespace Byre.Formats.Qcow2;

/// <summary>How a qcow2 image is opened.</summary>
public sealed record Qcow2OpenOptions
{
    /// <summary>Nothing is written, not even the header.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>The most memory for L2 tables, in bytes. The default holds those of 1 TiB at clusters of 64 KiB; only what is used is taken.</summary>
    public long L2CacheBytes { get; init; } = 128L << 20;

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

    /// <summary>A discard keeps the mapping of host clusters.</summary>
    public bool DiscardNoUnref { get; init; }

    /// <summary>Opens an image although it is marked dirty or corrupt, and changes nothing of itself.</summary>
    public bool ForCheck { get; init; }

    /// <summary>Refcounts are written late, under the dirty bit; null does as the image says.</summary>
    public bool? LazyRefcounts { get; init; }
}
