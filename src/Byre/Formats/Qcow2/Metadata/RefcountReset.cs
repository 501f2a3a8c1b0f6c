using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Gives everything but a few clusters back at once, whatever it was counted for: for an image whose tables name nothing more,
/// durably. The refcount table stays where it is, and so do the blocks that are still needed.
/// </summary>
/// <remarks>
/// What stays has one reference before and after, and all else is leaked from the start, so that no order of the writes makes
/// it worse. Nothing is allocated meanwhile. Lock order: the metadata lock is a leaf.
/// </remarks>
internal sealed class RefcountReset(BlockEdge file, Lock gate, SliceCache refcounts, ResidentTable table, HeaderStore headers, OverlapGuard guard)
{
    private readonly int bits = headers.Header.ClusterBits;
    private readonly int size = headers.Header.ClusterSize;
    private readonly int order = headers.Header.RefcountOrder;

    private long BlockEntries => (size * 8L) >> order;

    /// <summary>Finds the blocks that count ranges of clusters, and themselves.</summary>
    /// <param name="ranges">Offsets and lengths in bytes.</param>
    /// <returns>Null where one of them is not there, or out of place: the image is not sound.</returns>
    public KeptRefcounts? Plan(params ReadOnlySpan<(long Offset, long Length)> ranges)
    {
        var clusters = new SortedSet<long>();
        foreach (var (offset, length) in ranges)
        {
            for (var cluster = offset >> bits; cluster < (offset + length + size - 1) >> bits; cluster++)
            {
                clusters.Add(cluster);
            }
        }

        var blocks = new SortedSet<long>();
        var waiting = new Queue<long>(clusters);
        while (waiting.TryDequeue(out var cluster))
        {
            var index = cluster / BlockEntries;
            if (!blocks.Add(index))
            {
                continue;
            }

            var block = new RefcountTableEntry(table[index]).Block;
            if (block.Value <= 0 || (block.Value & (size - 1)) != 0 || !clusters.Add(block.Value >> bits))
            {
                return null;
            }

            waiting.Enqueue(block.Value >> bits);
        }

        return new KeptRefcounts([.. clusters], blocks);
    }

    /// <summary>Drops the other blocks, then all counts but those that stay; durable when it completes.</summary>
    /// <param name="kept">What stays.</param>
    /// <param name="round">Brings the refcount table to the disk.</param>
    public async ValueTask RunAsync(KeptRefcounts kept, WriteBackRound round)
    {
        await DropBlocksAsync(kept, round).ConfigureAwait(false);
        var next = 0;
        foreach (var index in kept.Blocks)
        {
            var bytes = new byte[size];
            var first = index * BlockEntries;
            for (; next < kept.Clusters.Count && kept.Clusters[next] < first + BlockEntries; next++)
            {
                RefcountWidth.Set(bytes, order, (int)(kept.Clusters[next] - first), 1);
            }

            var offset = new RefcountTableEntry(table[index]).Block.Value;
            lock (gate)
            {
                refcounts.Forget(offset, size);
            }

            await file.WriteAsync(offset, bytes).ConfigureAwait(false);
            lock (gate)
            {
                refcounts.Forget(offset, size); // whoever read it meanwhile read what it was
            }
        }

        await file.FlushAsync().ConfigureAwait(false);
    }

    private async ValueTask DropBlocksAsync(KeptRefcounts kept, WriteBackRound round)
    {
        var dropped = new List<(long Index, ulong Raw)>();
        lock (gate)
        {
            for (var index = 0L; index < table.Count; index++)
            {
                if (table[index] != 0 && !kept.Blocks.Contains(index))
                {
                    dropped.Add((index, table[index]));
                    refcounts.Forget(new RefcountTableEntry(table[index]).Block.Value, size);
                    table.Set(index, 0);
                }
            }
        }

        if (dropped.Count == 0)
        {
            return;
        }

        try
        {
            await round.RunAsync(all: true).ConfigureAwait(false);
            await round.SyncAsync().ConfigureAwait(false);
        }
        catch
        {
            lock (gate)
            {
                foreach (var (index, raw) in dropped)
                {
                    table.Set(index, raw); // the table on disk may still name them
                }
            }

            throw;
        }

        lock (gate)
        {
            foreach (var (_, raw) in dropped)
            {
                guard.Remove(OverlapChecks.RefcountBlock, new RefcountTableEntry(raw).Block, size);
            }
        }
    }
}
