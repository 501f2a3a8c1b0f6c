using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>How a <see cref="CopyEngine"/> copies.</summary>
public sealed record CopyOptions
{
    /// <summary>
    /// The most chunks in flight, 1 to 64. There are never more threads than the machine's cores, or two, unless
    /// <see cref="WaitsForPeers"/>.
    /// </summary>
    public int Parallel { get; init; } = 8;

    /// <summary>
    /// Requests wait for somebody else (a server), not for this machine's processors: there is a thread for each chunk in flight,
    /// however many processors there are.
    /// </summary>
    public bool WaitsForPeers { get; init; }

    /// <summary>
    /// The calling thread copies with the others, and is blocked until all of them are done: for programs that have nothing else
    /// for it to do. A thread of the pool is never taken, as nodes need those. Otherwise all threads are the copy's own.
    /// </summary>
    public bool OnCallersThread { get; init; }

    /// <summary>Bytes read and written at a time: 4 KiB to 32 MiB, rounded down to 4 KiB.</summary>
    public int BufferSize { get; init; } = 1 << 20;

    /// <summary>The target reads as zeroes, so zeroes are left out. A target that knows it (<see cref="IKnownZero"/>) need not be told.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>
    /// From this offset on the target reads as zeroes (a new overlay beyond the end of its backing layer);
    /// <see cref="long.MaxValue"/> where that is not known.
    /// </summary>
    public long TargetZeroFrom { get; init; } = long.MaxValue;

    /// <summary>Data is stored compressed, in whole units of <see cref="CompressionUnit"/>.</summary>
    public bool Compressed { get; init; }

    /// <summary>The target's cluster size in bytes, for <see cref="Compressed"/>; 0 takes the target's zero-write alignment.</summary>
    public int CompressionUnit { get; init; }

    /// <summary>
    /// Zeroes of at least this many bytes, at multiples of it, in what the source calls data are not written as data.
    /// 0: nothing is looked at, and what is known to be zero is written as data too, so the target ends fully allocated.
    /// </summary>
    public long SparseBytes { get; init; } = 4096;

    /// <summary>
    /// With <see cref="SparseBytes"/> 0: what the source says is zero is made zero by requests for zeroes, not by data. What it
    /// says is data is not looked at.
    /// </summary>
    public bool KeepsHoles { get; init; }

    /// <summary>Zeroes take space in the target: they are written though it reads as zeroes, and never by giving space back.</summary>
    public bool Allocated { get; init; }

    /// <summary>The sources are not asked what is zero: all of their bytes are read.</summary>
    public bool IgnoresExtents { get; init; }

    /// <summary>Where a source cannot say what is zero (its server fails to), its bytes are read; otherwise that ends the copy.</summary>
    public bool ReadsUnknown { get; init; }

    /// <summary>
    /// Each write is complete before the next one begins, in the order of the offsets and without a gap: for targets that are
    /// written from front to back (<see cref="Storage.SequentialNode"/>). Chunks are still read side by side.
    /// </summary>
    public bool Sequential { get; init; }

    /// <summary>The target is flushed at the end; otherwise what is written may still be on its way to stable storage.</summary>
    public bool Flushes { get; init; } = true;

    /// <summary>Writes may begin in any order; otherwise they begin in that of the offsets, so that a target allocates in it.</summary>
    public bool OutOfOrder { get; init; }

    /// <summary>The most bytes copied a second; 0 for no limit.</summary>
    public long RateBytesPerSecond { get; init; }

    /// <summary>
    /// Lets the kernel copy bytes between files. Blocks are shared (reflinks) without it too, where the file system can and
    /// <see cref="SparseBytes"/> is not 0.
    /// </summary>
    public bool CopyRange { get; init; }

    /// <summary>Sectors that cannot be read become zeroes instead of ending the copy.</summary>
    public bool Salvage { get; init; }

    /// <summary>
    /// Called for each sector that <see cref="Salvage"/> gave up: its offset in the target in bytes, and why. In the order of
    /// the offsets unless <see cref="OutOfOrder"/>, which calls it from several threads.
    /// </summary>
    public Action<long, BlockException>? Unreadable { get; init; }

    /// <summary>What the copy leaves out at the source's front, in bytes. Needs a single source.</summary>
    public long SourceOffset { get; init; }

    /// <summary>How many bytes are copied at most. Needs a single source.</summary>
    public long SourceLength { get; init; } = long.MaxValue;

    /// <summary>A layer of the source's chain; what only it or those below it have is left absent. Needs a single source.</summary>
    public BlockNode? BelowBase { get; init; }

    /// <summary>Every write is on stable storage before the next one of its worker.</summary>
    public bool Writethrough { get; init; }

    /// <summary>Makes what says which ranges are copied, instead of the sources' extents. Needs a single source.</summary>
    internal Func<ISegmentWalker>? Walker { get; init; }

    /// <summary>What is read is left out where it is the same as what <see cref="LeaveOut.Against"/> has; null for no such thing.</summary>
    internal LeaveOut? LeaveOut { get; init; }

    /// <summary>Told how far the copy is, some times a second and at the end; from any thread, one at a time.</summary>
    public IProgress<CopyProgress>? Progress { get; init; }
}
