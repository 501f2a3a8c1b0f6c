using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Finds free host clusters and counts references to them. The counts change in memory; write-back rounds bring them to the
/// disk before anything that links the clusters.
/// </summary>
/// <remarks>
/// Lock order: <c>allocating</c>, then the round lock (while the refcount table moves), then the metadata lock.
/// </remarks>
internal sealed class ClusterAllocator
{
    private const long MaxTableBytes = 8 << 20;
    private const long MaxHostOffset = 1L << 55;

    private readonly BlockEdge file;
    private readonly Lock gate;
    private readonly SliceCache refcounts;
    private readonly ResidentTable table;
    private readonly HeaderStore headers;
    private readonly OverlapGuard guard;
    private readonly AsyncMutex roundLock;
    private readonly AsyncMutex allocating = new();
    private readonly int clusterBits;
    private readonly int clusterSize;
    private readonly int order;
    private readonly long blockEntries;
    private readonly int sliceEntries;
    private long nextFree; // the first cluster that may be free
    private long freshFrom; // from here on the file was never written
    private long freeByte; // where the next compressed cluster may go, or 0

    public ClusterAllocator(
        BlockEdge file, Lock gate, SliceCache refcounts, ResidentTable table, HeaderStore headers, OverlapGuard guard, AsyncMutex roundLock)
    {
        this.file = file;
        this.gate = gate;
        this.refcounts = refcounts;
        this.table = table;
        this.headers = headers;
        this.guard = guard;
        this.roundLock = roundLock;
        clusterBits = headers.Header.ClusterBits;
        clusterSize = 1 << clusterBits;
        order = headers.Header.RefcountOrder;
        blockEntries = (clusterSize * 8L) >> order;
        sliceEntries = (refcounts.SliceSize * 8) >> order;
        freshFrom = file.Node.GrowsOnWrite ? (file.Length + clusterSize - 1) & -clusterSize : long.MaxValue;
    }

    /// <summary>The most references a cluster can have.</summary>
    private ulong MaxRefcount => RefcountWidth.Max(order);

    /// <summary>Takes clusters that follow each other, with one reference each.</summary>
    /// <param name="wanted">How many; there may be fewer, at least one.</param>
    public async ValueTask<HostRun> AllocateAsync(int wanted)
    {
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            return await FindAsync(wanted).ConfigureAwait(false);
        }
        finally
        {
            allocating.Release();
        }
    }

    /// <summary>Takes exactly so many clusters that follow each other.</summary>
    public async ValueTask<HostRun> AllocateAllAsync(int count)
    {
        List<HostRun>? scraps = null;
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            while (true)
            {
                var run = await FindAsync(count).ConfigureAwait(false);
                if (run.Count == count)
                {
                    return run;
                }

                (scraps ??= []).Add(run);
            }
        }
        finally
        {
            allocating.Release();
            foreach (var scrap in scraps ?? [])
            {
                await ReleaseAsync(new FreedRange(scrap.Offset, scrap.Count, false)).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Takes space for a compressed cluster; every host cluster it touches gets a reference.</summary>
    /// <param name="length">Bytes, at most a cluster.</param>
    /// <returns>Where it goes, and whether the file reads as zeroes there.</returns>
    public async ValueTask<long> AllocateBytesAsync(int length)
    {
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            var at = await TryShareAsync(length).ConfigureAwait(false);
            if (at < 0)
            {
                var run = await FindAsync(1).ConfigureAwait(false);
                at = run.Offset;
                var joined = await TryContinueAsync(run.Offset, length).ConfigureAwait(false);
                at = joined >= 0 ? joined : at;
            }

            lock (gate)
            {
                var end = at + length;
                freeByte = (end & (clusterSize - 1)) == 0 ? 0 : end;
            }

            return at;
        }
        finally
        {
            allocating.Release();
        }
    }

    /// <summary>
    /// Takes one reference from each cluster of a range. Where it was the last one the cluster is free; its space in the file
    /// is given back before it can be used again.
    /// </summary>
    public async ValueTask ReleaseAsync(FreedRange range, bool mayWriteBack = true)
    {
        var first = range.Offset >> clusterBits;
        if (range.Punch)
        {
            await PunchAsync(first, range.Count, mayWriteBack).ConfigureAwait(false);
        }

        for (var cluster = first; cluster < first + range.Count;)
        {
            if (table[cluster / blockEntries] == 0)
            {
                cluster++;
                continue;
            }

            var slice = await SliceOfAsync(cluster, mayWriteBack).ConfigureAwait(false);
            lock (gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                var index = (int)(cluster % sliceEntries);
                for (; index < sliceEntries && cluster < first + range.Count; index++, cluster++)
                {
                    var count = RefcountWidth.Get(slice.Bytes, order, index);
                    if (count == 0)
                    {
                        continue;
                    }

                    RefcountWidth.Set(slice.Bytes, order, index, count - 1);
                    if (count == 1)
                    {
                        nextFree = Math.Min(nextFree, cluster);
                        freeByte = freeByte >> clusterBits == cluster ? 0 : freeByte;
                    }
                }

                refcounts.MarkDirty(slice);
            }
        }
    }

    /// <summary>The references to a cluster.</summary>
    public async ValueTask<ulong> RefcountAsync(long offset)
    {
        var cluster = offset >> clusterBits;
        if (table[cluster / blockEntries] == 0)
        {
            return 0;
        }

        var slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
        return RefcountWidth.Get(slice.Bytes, order, (int)(cluster % sliceEntries));
    }

    private async ValueTask PunchAsync(long first, long count, bool mayWriteBack)
    {
        for (var cluster = first; cluster < first + count;)
        {
            if (table[cluster / blockEntries] == 0)
            {
                cluster++;
                continue;
            }

            var slice = await SliceOfAsync(cluster, mayWriteBack).ConfigureAwait(false);
            var start = cluster;
            lock (gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                for (var index = (int)(cluster % sliceEntries); index < sliceEntries && cluster < first + count; index++, cluster++)
                {
                    if (RefcountWidth.Get(slice.Bytes, order, index) != 1)
                    {
                        break;
                    }

                    freeByte = freeByte >> clusterBits == cluster ? 0 : freeByte; // nothing more is put into it
                }
            }

            var from = start << clusterBits;
            var to = Math.Min(cluster << clusterBits, file.Length);
            if (from < to)
            {
                await file.DiscardAsync(from, to - from).ConfigureAwait(false);
            }

            cluster = Math.Max(cluster, start + (cluster == start ? 1 : 0));
        }
    }

    /// <summary>Puts a compressed cluster into the room that the last one left in its cluster.</summary>
    private async ValueTask<long> TryShareAsync(int length)
    {
        while (true)
        {
            var at = Volatile.Read(ref freeByte);
            if (at == 0 || (at & (clusterSize - 1)) + length > clusterSize)
            {
                return -1;
            }

            if (await AddReferenceAsync(at).ConfigureAwait(false) is { } added)
            {
                return added ? at : -1;
            }
        }
    }

    /// <summary>A new cluster follows the one that has room: the compressed cluster spans both.</summary>
    private async ValueTask<long> TryContinueAsync(long newCluster, int length)
    {
        while (true)
        {
            var at = Volatile.Read(ref freeByte);
            if (at == 0 || (at & -clusterSize) + clusterSize != newCluster || at + length <= newCluster)
            {
                return -1;
            }

            if (await AddReferenceAsync(at).ConfigureAwait(false) is { } added)
            {
                return added ? at : -1;
            }
        }
    }

    /// <summary>One more reference to the cluster that has room; null where it must be looked at again.</summary>
    private async ValueTask<bool?> AddReferenceAsync(long at)
    {
        var cluster = at >> clusterBits;
        var slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
        lock (gate)
        {
            if (!slice.IsResident || freeByte != at)
            {
                return null;
            }

            var index = (int)(cluster % sliceEntries);
            var count = RefcountWidth.Get(slice.Bytes, order, index);
            if (count == 0 || count >= MaxRefcount)
            {
                freeByte = 0;
                return false;
            }

            RefcountWidth.Set(slice.Bytes, order, index, count + 1);
            refcounts.MarkDirty(slice);
            return true;
        }
    }

    private async ValueTask<HostRun> FindAsync(int wanted)
    {
        var hint = Volatile.Read(ref nextFree);
        var cluster = hint;
        long start = -1;
        var count = 0;
        while (count < wanted)
        {
            if (cluster >= MaxHostOffset >> clusterBits)
            {
                throw new BlockException(ErrorCode.NoSpace, $"The image '{file.Node.FileName}' has no free cluster left", file.Node.FileName);
            }

            var block = cluster / blockEntries;
            if (block >= table.Count || table[block] == 0)
            {
                if (count > 0)
                {
                    break;
                }

                cluster = block >= table.Count
                    ? await GrowTableAsync(cluster).ConfigureAwait(false)
                    : await NewBlockAsync(cluster).ConfigureAwait(false);
                hint = Volatile.Read(ref nextFree);
                continue;
            }

            CacheSlice slice;
            try
            {
                slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
            }
            catch (BlockException) when (count > 0)
            {
                break;
            }

            lock (gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                var origin = cluster - (cluster % sliceEntries);
                var index = (int)(cluster - origin);
                if (count == 0)
                {
                    index = FindFree(slice.Bytes, index);
                    start = origin + index;
                }

                var before = count;
                for (; index < sliceEntries && count < wanted && RefcountWidth.Get(slice.Bytes, order, index) == 0; index++, count++)
                {
                    RefcountWidth.Set(slice.Bytes, order, index, 1);
                }

                cluster = origin + index;
                if (count > before)
                {
                    refcounts.MarkDirty(slice);
                    nextFree = nextFree == hint ? hint = cluster : nextFree; // unless a lower one became free meanwhile
                }

                if (count > 0 && index < sliceEntries)
                {
                    break;
                }
            }
        }

        return await TakeAsync(start, count).ConfigureAwait(false);
    }

    private async ValueTask<HostRun> TakeAsync(long start, int count)
    {
        var offset = start << clusterBits;
        var hit = guard.Find(offset, (long)count << clusterBits);
        if (hit != OverlapChecks.None)
        {
            throw await headers.CorruptAsync(
                $"a free cluster at {offset:#x} overlaps {OverlapGuard.Describe(hit)}", offset).ConfigureAwait(false);
        }

        file.DebugEvent(BlkdebugEvent.ClusterAlloc);
        lock (gate)
        {
            var fresh = offset >= freshFrom;
            freshFrom = Math.Max(freshFrom, offset + ((long)count << clusterBits));
            return new HostRun(offset, count, fresh);
        }
    }

    private int FindFree(byte[] bytes, int from)
    {
        if (order == 4)
        {
            var found = MemoryMarshal.Cast<byte, ushort>(bytes)[from..].IndexOf((ushort)0);
            return found < 0 ? sliceEntries : from + found;
        }

        while (from < sliceEntries && RefcountWidth.Get(bytes, order, from) != 0)
        {
            from++;
        }

        return from;
    }

    private async ValueTask<CacheSlice> SliceOfAsync(long cluster, bool mayWriteBack)
    {
        var block = (long)(table[cluster / blockEntries] & ~0x1FFUL);
        if ((block & (clusterSize - 1)) != 0 || block <= 0)
        {
            throw await headers.CorruptAsync($"the refcount block at {block:#x} is not aligned to a cluster", block).ConfigureAwait(false);
        }

        var position = ((cluster % blockEntries) << order) >> 3;
        return await refcounts.GetAsync(block + (position & -refcounts.SliceSize), mayWriteBack).ConfigureAwait(false);
    }

    /// <summary>Makes the refcount block for a range that has none, at a free cluster in it.</summary>
    /// <returns>Where to go on looking.</returns>
    private async ValueTask<long> NewBlockAsync(long cluster)
    {
        var run = await TakeAsync(cluster, 1).ConfigureAwait(false);
        file.DebugEvent(BlkdebugEvent.RefblockAlloc);
        var bytes = new byte[clusterSize];
        RefcountWidth.Set(bytes, order, (int)(cluster % blockEntries), 1);
        await file.WriteAsync(run.Offset, bytes).ConfigureAwait(false);
        lock (gate)
        {
            refcounts.Forget(run.Offset, clusterSize);
            table.Set(cluster / blockEntries, (ulong)run.Offset);
            guard.Add(OverlapChecks.RefcountBlock, run.Offset, clusterSize);
            nextFree = nextFree >= cluster - (cluster % blockEntries) ? cluster + 1 : nextFree;
        }

        return cluster + 1;
    }

    /// <summary>Moves the refcount table to a longer one, which lies behind all that the old one covers.</summary>
    /// <returns>Where to go on looking.</returns>
    private async ValueTask<long> GrowTableAsync(long cluster)
    {
        long count = Math.Max(table.Count + (table.Count / 2L), (cluster / blockEntries) + 1);
        long tableClusters, blocks = 1;
        while (true)
        {
            tableClusters = ((count * 8) + clusterSize - 1) >> clusterBits;
            var last = (cluster + tableClusters + blocks - 1) / blockEntries;
            var needed = last - (cluster / blockEntries) + 1;
            if (needed <= blocks && last < count)
            {
                break;
            }

            blocks = Math.Max(blocks, needed);
            count = Math.Max(count, last + 1);
        }

        if (tableClusters << clusterBits > MaxTableBytes)
        {
            throw new BlockException(ErrorCode.NoSpace, $"The refcount table of the image '{file.Node.FileName}' cannot grow any more", file.Node.FileName);
        }

        file.DebugEvent(BlkdebugEvent.ReftableGrow);
        var run = await TakeAsync(cluster, (int)(tableClusters + blocks)).ConfigureAwait(false);
        var entries = table.CopyEntries((int)((tableClusters << clusterBits) / 8));
        var end = cluster + tableClusters + blocks;
        for (var i = 0; i < blocks; i++)
        {
            var block = (cluster / blockEntries) + i;
            var offset = (cluster + tableClusters + i) << clusterBits;
            var bytes = new byte[clusterSize];
            for (var c = Math.Max(cluster, block * blockEntries); c < Math.Min(end, (block + 1) * blockEntries); c++)
            {
                RefcountWidth.Set(bytes, order, (int)(c % blockEntries), 1);
            }

            entries[block] = (ulong)offset;
            await file.WriteAsync(offset, bytes).ConfigureAwait(false);
        }

        var oldOffset = table.Offset;
        var oldClusters = headers.Header.RefcountTableClusters;
        await roundLock.WaitAsync().ConfigureAwait(false);
        try
        {
            var onDisk = new byte[tableClusters << clusterBits];
            ResidentTable.WriteEntries(entries, onDisk);
            await file.WriteAsync(run.Offset, onDisk).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
            await headers.UpdateAsync(h => h with { RefcountTableOffset = run.Offset, RefcountTableClusters = (uint)tableClusters }).ConfigureAwait(false);
            lock (gate)
            {
                table.Replace(run.Offset, entries);
                refcounts.Forget(run.Offset, (tableClusters + blocks) << clusterBits);
                guard.Remove(OverlapChecks.RefcountTable, oldOffset, (long)oldClusters << clusterBits);
                guard.Add(OverlapChecks.RefcountTable, run.Offset, tableClusters << clusterBits);
                guard.Add(OverlapChecks.RefcountBlock, run.Offset + (tableClusters << clusterBits), blocks << clusterBits);
                nextFree = nextFree >= cluster ? end : nextFree;
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
