namespace Byre.Nodes;

/// <summary>
/// What a node wants of requests, in bytes. The edge splits and aligns to it, so a driver never sees others. It is read on
/// every request: a driver returns one it has kept.
/// </summary>
public sealed record BlockLimits
{
    /// <summary>No wishes at all: every offset and length will do.</summary>
    public static BlockLimits Default { get; } = new();

    /// <summary>Offset and length of reads and writes are multiples of it; a power of two from 1 to 64 KiB.</summary>
    public int RequestAlignment { get; init; } = 1;

    /// <summary>Addresses of buffers are multiples of it; a power of two.</summary>
    public int MemoryAlignment { get; init; } = 1;

    /// <summary>The longest read or write.</summary>
    public int MaxTransfer { get; init; } = int.MaxValue & ~0xffff;

    /// <summary>The length that works best (0: no wish).</summary>
    public int OptimalTransfer { get; init; }

    /// <summary>Write-zeroes works best in multiples of it (a cluster); others are still valid.</summary>
    public long WriteZeroesAlignment { get; init; } = 1;

    /// <summary>The longest write-zeroes.</summary>
    public long MaxWriteZeroes { get; init; } = long.MaxValue;

    /// <summary>Discards are cut to multiples of it; what is less is left alone.</summary>
    public long DiscardAlignment { get; init; } = 1;

    /// <summary>The longest discard; not less than <see cref="DiscardAlignment"/>.</summary>
    public long MaxDiscard { get; init; } = long.MaxValue;
}
