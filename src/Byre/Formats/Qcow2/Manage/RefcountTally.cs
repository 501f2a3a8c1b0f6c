using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Changes the refcounts of many clusters in memory, and then on disk block by block. Nothing else changes them meanwhile, and
/// the caches hold none. It takes as much memory as the blocks that count the clusters: with clusters of 64 KiB and refcounts
/// of 16 bits 32 MiB for each TiB.
/// </summary>
/// <param name="file">The image file.</param>
/// <param name="table">The refcount table.</param>
/// <param name="header">The header.</param>
internal sealed class RefcountTally(BlockEdge file, ResidentTable table, Qcow2Header header)
{
    private readonly Dictionary<long, CountedBlock> blocks = [];
    private readonly int order = header.RefcountOrder;
    private readonly int entryBits = header.ClusterBits + 3 - header.RefcountOrder; // log2 of the counts in a block
    private readonly ulong max = RefcountWidth.Max(header.RefcountOrder);
    private CountedBlock? last;

    /// <summary>The first cluster that became free, or a number that no cluster has.</summary>
    public long LowestFreed { get; private set; } = long.MaxValue;

    /// <summary>The first of some clusters whose count is not in memory, or -1: then it is to be loaded.</summary>
    public long FindMissing(long first, long count)
    {
        for (var index = first >> entryBits; index <= (first + count - 1) >> entryBits; index++)
        {
            if (!TryBlock(index))
            {
                return Math.Max(first, index << entryBits);
            }
        }

        return -1;
    }

    /// <summary>Reads the block that counts a cluster.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: there is none, or at an impossible place.</exception>
    public async ValueTask LoadAsync(long cluster)
    {
        var index = cluster >> entryBits;
        if (blocks.ContainsKey(index))
        {
            return;
        }

        var offset = new RefcountTableEntry(table[index]).Block.Value;
        if (offset <= 0 || (offset & (header.ClusterSize - 1)) != 0)
        {
            throw offset == 0 ? NotCounted(cluster)
                : Damaged($"its refcount block at 0x{offset:x} does not begin where a cluster does");
        }

        var bytes = new byte[header.ClusterSize];
        await PaddedReads.ReadAsync(file, offset, bytes).ConfigureAwait(false);
        blocks[index] = new CountedBlock(index, offset, bytes);
    }

    /// <summary>Adds a reference to each of some clusters, takes one away, or sees that there is one. Their counts are in memory.</summary>
    /// <param name="first">The first cluster's number.</param>
    /// <param name="count">How many.</param>
    /// <param name="change">1, -1 or 0.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.TooLarge"/>: a count has no room for it; <see cref="ErrorCode.Corrupt"/>: a cluster is in use and has
    /// no reference. Nothing on disk has changed.
    /// </exception>
    public void Add(long first, long count, int change)
    {
        while (count > 0)
        {
            if (!TryBlock(first >> entryBits))
            {
                throw new InvalidOperationException("The counts of these clusters are not in memory.");
            }

            var block = last!;
            var start = (int)(first & ((1L << entryBits) - 1));
            var part = (int)Math.Min(count, (1L << entryBits) - start);
            block.IsChanged |= change != 0;
            if (order == 4)
            {
                AddShort(block, start, part, change);
            }
            else
            {
                AddAny(block, start, part, change);
            }

            first += part;
            count -= part;
        }
    }

    /// <summary>As <see cref="Add"/>; reads the blocks that it needs.</summary>
    public async ValueTask AddAsync(long first, long count, int change)
    {
        while (FindMissing(first, count) is >= 0 and var missing)
        {
            await LoadAsync(missing).ConfigureAwait(false);
        }

        Add(first, count, change);
    }

    /// <summary>The references to a cluster whose count is in memory.</summary>
    public ulong CountOf(long cluster)
    {
        if (!TryBlock(cluster >> entryBits))
        {
            throw new InvalidOperationException("The count of this cluster is not in memory.");
        }

        return RefcountWidth.Get(last!.Bytes, order, (int)(cluster & ((1L << entryBits) - 1)));
    }

    /// <summary>Writes the blocks that changed. The caller syncs.</summary>
    public async ValueTask WriteAsync()
    {
        foreach (var block in blocks.Values.Where(b => b.IsChanged).OrderBy(b => b.Offset))
        {
            file.DebugEvent(BlkdebugEvent.RefblockUpdatePart);
            await file.WriteAsync(block.Offset, block.Bytes).ConfigureAwait(false);
            block.IsChanged = false;
        }
    }

    /// <summary>Gives the space of clusters that became free back to the file, as far as that works.</summary>
    public async ValueTask PunchAsync()
    {
        try
        {
            foreach (var block in blocks.Values.Where(b => b.Freed is not null).OrderBy(b => b.Index))
            {
                foreach (var (first, count) in block.FreedRuns(1 << entryBits))
                {
                    var from = ((block.Index << entryBits) + first) << header.ClusterBits;
                    var to = Math.Min(from + ((long)count << header.ClusterBits), file.Length);
                    if (from < to)
                    {
                        await file.DiscardAsync(from, to - from).ConfigureAwait(false);
                    }
                }
            }
        }
        catch (BlockException)
        {
            // The clusters are free all the same; the file keeps some space that it does not need.
        }
    }

    private bool TryBlock(long index)
    {
        if (last?.Index != index && blocks.TryGetValue(index, out var found))
        {
            last = found;
        }

        return last?.Index == index;
    }

    private void AddShort(CountedBlock block, int start, int count, int change)
    {
        var counts = MemoryMarshal.Cast<byte, ushort>(block.Bytes.AsSpan()).Slice(start, count);
        for (var i = 0; i < counts.Length; i++)
        {
            var value = BinaryPrimitives.ReverseEndianness(counts[i]);
            Check(value, block, start + i, change);
            counts[i] = BinaryPrimitives.ReverseEndianness((ushort)(value + change));
        }
    }

    private void AddAny(CountedBlock block, int start, int count, int change)
    {
        for (var i = start; i < start + count; i++)
        {
            var value = RefcountWidth.Get(block.Bytes, order, i);
            Check(value, block, i, change);
            RefcountWidth.Set(block.Bytes, order, i, change > 0 ? value + 1 : value - (ulong)-change);
        }
    }

    private void Check(ulong value, CountedBlock block, int index, int change)
    {
        if (value == 0)
        {
            throw NotCounted((block.Index << entryBits) + index);
        }

        if (change > 0)
        {
            if (value == max)
            {
                throw new BlockException(
                    ErrorCode.TooLarge,
                    $"The image '{file.Node.FileName}' counts up to {max} references to a cluster (refcount_bits={1 << order}), and one more is needed",
                    file.Node.FileName);
            }
        }
        else if (change < 0 && value == 1)
        {
            block.Free(index, 1 << entryBits);
            LowestFreed = Math.Min(LowestFreed, (block.Index << entryBits) + index);
        }
    }

    private BlockException NotCounted(long cluster) =>
        Damaged($"the cluster at 0x{cluster << header.ClusterBits:x} is in use and has no refcount");

    private BlockException Damaged(string what) =>
        new(ErrorCode.Corrupt, $"The image '{file.Node.FileName}' must be repaired first: {what}", file.Node.FileName);

    private sealed class CountedBlock(long index, long offset, byte[] bytes)
    {
        public long Index => index;

        public long Offset => offset;

        public byte[] Bytes => bytes;

        public bool IsChanged { get; set; }

        /// <summary>A bit for each cluster that became free, or null.</summary>
        public ulong[]? Freed { get; private set; }

        public void Free(int at, int entries)
        {
            Freed ??= new ulong[(entries + 63) / 64];
            Freed[at >> 6] |= 1UL << (at & 63);
        }

        public IEnumerable<(int First, int Count)> FreedRuns(int entries)
        {
            for (var at = 0; at < entries;)
            {
                var start = Next(at, entries, isFreed: true);
                at = Next(start, entries, isFreed: false);
                if (at > start)
                {
                    yield return (start, at - start);
                }
            }
        }

        /// <summary>The first cluster from one on that became free, or that did not.</summary>
        private int Next(int at, int entries, bool isFreed)
        {
            while (at < entries)
            {
                var bits = (isFreed ? Freed![at >> 6] : ~Freed![at >> 6]) >> (at & 63);
                if (bits != 0)
                {
                    return Math.Min(entries, at + BitOperations.TrailingZeroCount(bits));
                }

                at = (at | 63) + 1;
            }

            return entries;
        }
    }
}
