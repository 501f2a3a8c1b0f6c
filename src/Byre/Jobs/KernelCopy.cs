using System.Collections.Concurrent;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>
/// Copies by the kernel: knows which host files it works for. A file is tried with a few chunks; where none of them could
/// be shared, the rest of it is read and written.
/// </summary>
internal sealed class KernelCopy
{
    private const int Tries = 3;
    private const long LongestShare = 256L << 20;
    private const int HostBlock = 4096;

    private readonly ConcurrentDictionary<BlockNode, Record> records = new(ReferenceEqualityComparer.Instance);
    private readonly BlockEdge target;
    private readonly CopyRangeMode mode;
    private readonly bool isWanted;
    private readonly bool limitsRate;
    private readonly int block; // what is copied begins at multiples of it in the target

    /// <summary>Makes one for a copy.</summary>
    /// <param name="target">The target.</param>
    /// <param name="mode">What is allowed.</param>
    /// <param name="isWanted">It is to be tried at all.</param>
    /// <param name="limitsRate">No more than a buffer is copied at a time.</param>
    public KernelCopy(BlockEdge target, CopyRangeMode mode, bool isWanted, bool limitsRate)
    {
        this.target = target;
        this.mode = mode;
        this.isWanted = isWanted && target.Node is ICopyRangeTarget;
        this.limitsRate = limitsRate;
        block = Math.Max(HostBlock, target.Node.Limits.OptimalTransfer);
    }

    /// <summary>How much of a segment's front to hand to <see cref="CopyAsync"/>; 0 where it is to be read.</summary>
    public long LengthToTry(in CopySegment segment, int bufferSize)
    {
        if (!isWanted || segment.HostNode is not { } node)
        {
            return 0;
        }

        var record = records.GetOrAdd(node, static (n, copy) => new Record { IsExcluded = !copy.MayWork(n) }, this);
        if (record.IsHopeless)
        {
            return 0;
        }

        // The end of a file may lie within a block; blocks that are shared are whole.
        var isTail = block == HostBlock && segment.HostOffset + segment.Length >= node.Length;
        var most = record.Works && !limitsRate ? LongestShare : bufferSize;
        var length = segment.Length <= most && isTail ? segment.Length : Math.Min(segment.Length, most) / block * block;
        var isAligned = mode == CopyRangeMode.Any
            ? block == HostBlock || segment.Start % block == 0
            : segment.Start % block == 0 && segment.HostOffset % HostBlock == 0;
        return isAligned ? length : 0;
    }

    /// <summary>Copies a segment's front.</summary>
    /// <returns>Bytes copied; the caller copies the rest.</returns>
    public async ValueTask<long> CopyAsync(CopySegment segment)
    {
        var record = records[segment.HostNode!];
        if (record.IsHopeless)
        {
            return 0;
        }

        var done = await target.CopyRangeAsync(segment.Start, segment.HostNode!, segment.HostOffset, segment.Length, mode)
            .ConfigureAwait(false);
        record.Note(done > 0);
        return done;
    }

    private bool MayWork(BlockNode source) => mode == CopyRangeMode.Any || ((ICopyRangeTarget)target.Node).MayShareBlocks(source);

    private sealed class Record
    {
        private int failures;
        private volatile bool works;

        public bool Works => works;

        /// <summary>It is known from the start that nothing can be copied.</summary>
        public bool IsExcluded { get; init; }

        public bool IsHopeless => IsExcluded || !works && Volatile.Read(ref failures) >= Tries;

        public void Note(bool copied)
        {
            if (copied)
            {
                works = true;
            }
            else
            {
                Interlocked.Increment(ref failures);
            }
        }
    }
}
