using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>The refcount table and its blocks: finds the slice that counts a cluster, and makes room for more counts.</summary>
internal abstract class RefcountBlocks(
    BlockEdge file, Lock gate, SliceCache refcounts, ResidentTable table, HeaderStore headers, OverlapGuard guard, AsyncMutex roundLock)
{
    private const long MaxTableBytes = 8 << 20;

    private long nextFree;
    private long freshFrom = file.Node.GrowsOnWrite
        ? (file.Length + headers.Header.ClusterSize - 1) & -headers.Header.ClusterSize
        : long.MaxValue; // from here on the file was never written

    /// <summary>The image file.</summary>
    protected BlockEdge File { get; } = file;

    /// <summary>The metadata lock.</summary>
    protected Lock Gate { get; } = gate;

    /// <summary>The slices of refcount blocks.</summary>
    protected SliceCache Refcounts { get; } = refcounts;

    /// <summary>The refcount table.</summary>
    protected ResidentTable Table { get; } = table;

    /// <summary>The header.</summary>
    protected HeaderStore Headers { get; } = headers;

    /// <summary>What metadata is where.</summary>
    protected OverlapGuard Guard { get; } = guard;

    /// <summary>The binary logarithm of the cluster size.</summary>
    protected int ClusterBits { get; } = headers.Header.ClusterBits;

    /// <summary>Bytes in a cluster.</summary>
    protected int ClusterSize { get; } = headers.Header.ClusterSize;

    /// <summary>The binary logarithm of a count's bits.</summary>
    protected int Order { get; } = headers.Header.RefcountOrder;

    /// <summary>Counts in a block.</summary>
    protected long BlockEntries { get; } = (headers.Header.ClusterSize * 8L) >> headers.Header.RefcountOrder;

    /// <summary>Counts in a slice.</summary>
    protected int SliceEntries { get; } = (refcounts.SliceSize * 8) >> headers.Header.RefcountOrder;

    /// <summary>The first cluster that may be free. Changed under the metadata lock.</summary>
    protected ref long NextFree => ref nextFree;

    /// <summary>Takes one reference from each cluster of a range.</summary>
    public abstract ValueTask ReleaseAsync(FreedRange range, bool mayWriteBack = true);

    /// <summary>Clusters are taken: nothing may be known of them but that they are free.</summary>
    protected async ValueTask<HostRun> TakeAsync(long start, int count)
    {
        var offset = new HostOffset(start << ClusterBits);
        var hit = Guard.Find(offset, (long)count << ClusterBits);
        if (hit != OverlapChecks.None)
        {
            throw await Headers.CorruptAsync(
                $"a free cluster at {offset} overlaps {OverlapGuard.Describe(hit)}", offset.Value).ConfigureAwait(false);
        }

        File.DebugEvent(BlkdebugEvent.ClusterAlloc);
        lock (Gate)
        {
            var fresh = offset.Value >= freshFrom;
            freshFrom = Math.Max(freshFrom, offset.Value + ((long)count << ClusterBits));
            return new HostRun(offset, count, fresh);
        }
    }

    /// <summary>The slice that counts the references to a cluster.</summary>
    protected async ValueTask<CacheSlice> SliceOfAsync(long cluster, bool mayWriteBack)
    {
        var block = new RefcountTableEntry(Table[cluster / BlockEntries]).Block;
        if ((block.Value & (ClusterSize - 1)) != 0 || block.Value <= 0)
        {
            throw await Headers.CorruptAsync($"the refcount block at {block} is not aligned to a cluster", block.Value).ConfigureAwait(false);
        }

        var position = ((cluster % BlockEntries) << Order) >> 3;
        return await Refcounts.GetAsync(block.Value + (position & -Refcounts.SliceSize), mayWriteBack).ConfigureAwait(false);
    }

    /// <summary>Makes the refcount block for a range that has none, at a free cluster in it.</summary>
    /// <returns>Where to go on looking.</returns>
    protected async ValueTask<long> NewBlockAsync(long cluster)
    {
        var run = await TakeAsync(cluster, 1).ConfigureAwait(false);
        File.DebugEvent(BlkdebugEvent.RefblockAlloc);
        var bytes = new byte[ClusterSize];
        RefcountWidth.Set(bytes, Order, (int)(cluster % BlockEntries), 1);
        await File.WriteAsync(run.Offset.Value, bytes).ConfigureAwait(false);
        lock (Gate)
        {
            Refcounts.Forget(run.Offset.Value, ClusterSize);
            Table.Set(cluster / BlockEntries, RefcountTableEntry.For(run.Offset).Raw);
            Guard.Add(OverlapChecks.RefcountBlock, run.Offset, ClusterSize);
            NextFree = NextFree >= cluster - (cluster % BlockEntries) ? cluster + 1 : NextFree;
        }

        return cluster + 1;
    }

    /// <summary>Where the last cluster ends that has a reference. Nothing may be allocated meanwhile.</summary>
    protected async ValueTask<long> FindEndAsync()
    {
        for (var cluster = ((File.Length + ClusterSize - 1) >> ClusterBits) - 1; cluster >= 0;)
        {
            var block = cluster / BlockEntries;
            if (Table[block] == 0)
            {
                cluster = (block * BlockEntries) - 1;
                continue;
            }

            var slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
            lock (Gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                for (var index = (int)(cluster % SliceEntries); index >= 0; index--, cluster--)
                {
                    if (RefcountWidth.Get(slice.Bytes, Order, index) != 0)
                    {
                        return (cluster + 1) << ClusterBits;
                    }
                }
            }
        }

        return 0;
    }

    /// <summary>
    /// Gives up refcount blocks that count nothing but themselves. Their clusters are free once the table on disk does not
    /// name them. Nothing may be allocated meanwhile.
    /// </summary>
    protected async ValueTask DropEmptyBlocksAsync(WriteBackRound round)
    {
        var dropped = new List<(long Index, RefcountTableEntry Entry)>();
        for (var index = Table.Count - 1L; index >= 0; index--)
        {
            var entry = new RefcountTableEntry(Table[index]);
            if (entry.Block != HostOffset.Zero && await CountsOnlyAsync(index, entry.Block.Value >> ClusterBits).ConfigureAwait(false))
            {
                dropped.Add((index, entry));
            }
        }

        if (dropped.Count == 0)
        {
            return;
        }

        SetBlocks(dropped, present: false);
        try
        {
            await round.RunAsync(all: true).ConfigureAwait(false);
            await File.FlushAsync().ConfigureAwait(false);
        }
        catch
        {
            SetBlocks(dropped, present: true); // the table on disk may still name them
            throw;
        }

        foreach (var (index, entry) in dropped)
        {
            var cluster = entry.Block.Value >> ClusterBits;
            lock (Gate)
            {
                NextFree = Math.Min(NextFree, cluster);
            }

            if (cluster / BlockEntries != index)
            {
                await ReleaseAsync(new FreedRange(entry.Block, 1, false)).ConfigureAwait(false);
            }
        }
    }

    private void SetBlocks(List<(long Index, RefcountTableEntry Entry)> blocks, bool present)
    {
        lock (Gate)
        {
            foreach (var (index, entry) in blocks)
            {
                Table.Set(index, present ? entry.Raw : 0);
                if (present)
                {
                    Guard.Add(OverlapChecks.RefcountBlock, entry.Block, ClusterSize);
                }
                else
                {
                    Guard.Remove(OverlapChecks.RefcountBlock, entry.Block, ClusterSize);
                    Refcounts.Forget(entry.Block.Value, ClusterSize);
                }
            }
        }
    }

    /// <summary>A block counts no cluster but perhaps its own.</summary>
    private async ValueTask<bool> CountsOnlyAsync(long block, long own)
    {
        for (var cluster = block * BlockEntries; cluster < (block + 1) * BlockEntries;)
        {
            var slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
            lock (Gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                for (var index = 0; index < SliceEntries; index++, cluster++)
                {
                    var count = RefcountWidth.Get(slice.Bytes, Order, index);
                    if (count != 0 && (cluster != own || count != 1))
                    {
                        return false;
                    }
                }
            }
        }

        return true;
    }

    /// <summary>Moves the refcount table to a longer one, which lies behind all that the old one covers.</summary>
    /// <returns>Where to go on looking.</returns>
    protected async ValueTask<long> GrowTableAsync(long cluster)
    {
        long count = Math.Max(Table.Count + (Table.Count / 2L), (cluster / BlockEntries) + 1);
        long tableClusters, blocks = 1;
        while (true)
        {
            tableClusters = ((count * 8) + ClusterSize - 1) >> ClusterBits;
            var last = (cluster + tableClusters + blocks - 1) / BlockEntries;
            var needed = last - (cluster / BlockEntries) + 1;
            if (needed <= blocks && last < count)
            {
                break;
            }

            blocks = Math.Max(blocks, needed);
            count = Math.Max(count, last + 1);
        }

        if (tableClusters << ClusterBits > MaxTableBytes)
        {
            throw new BlockException(ErrorCode.NoSpace, $"The refcount table of the image '{File.Node.FileName}' cannot grow any more", File.Node.FileName);
        }

        File.DebugEvent(BlkdebugEvent.ReftableGrow);
        var run = await TakeAsync(cluster, (int)(tableClusters + blocks)).ConfigureAwait(false);
        var entries = Table.CopyEntries((int)((tableClusters << ClusterBits) / 8));
        var end = cluster + tableClusters + blocks;
        for (var i = 0; i < blocks; i++)
        {
            var block = (cluster / BlockEntries) + i;
            var offset = new HostOffset((cluster + tableClusters + i) << ClusterBits);
            var bytes = new byte[ClusterSize];
            for (var c = Math.Max(cluster, block * BlockEntries); c < Math.Min(end, (block + 1) * BlockEntries); c++)
            {
                RefcountWidth.Set(bytes, Order, (int)(c % BlockEntries), 1);
            }

            entries[block] = RefcountTableEntry.For(offset).Raw;
            await File.WriteAsync(offset.Value, bytes).ConfigureAwait(false);
        }

        var oldOffset = new HostOffset(Table.Offset);
        var oldClusters = Headers.Header.RefcountTableClusters;
        await roundLock.WaitAsync().ConfigureAwait(false);
        try
        {
            var onDisk = new byte[tableClusters << ClusterBits];
            ResidentTable.WriteEntries(entries, onDisk);
            await File.WriteAsync(run.Offset.Value, onDisk).ConfigureAwait(false);
            await File.FlushAsync().ConfigureAwait(false);
            await Headers.UpdateAsync(h => h with { RefcountTableOffset = run.Offset.Value, RefcountTableClusters = (uint)tableClusters }).ConfigureAwait(false);
            lock (Gate)
            {
                Table.Replace(run.Offset.Value, entries);
                Refcounts.Forget(run.Offset.Value, (tableClusters + blocks) << ClusterBits);
                Guard.Remove(OverlapChecks.RefcountTable, oldOffset, (long)oldClusters << ClusterBits);
                Guard.Add(OverlapChecks.RefcountTable, run.Offset, tableClusters << ClusterBits);
                Guard.Add(OverlapChecks.RefcountBlock, run.Offset + (tableClusters << ClusterBits), blocks << ClusterBits);
                NextFree = NextFree >= cluster ? end : NextFree;
            }
        }
        finally
        {
            roundLock.Release();
        }

        await ReleaseAsync(new FreedRange(oldOffset, oldClusters, false)).ConfigureAwait(false);
        return end;
    }
}
