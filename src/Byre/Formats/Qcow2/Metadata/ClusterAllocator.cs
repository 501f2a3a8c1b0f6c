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
internal sealed class ClusterAllocator(
    BlockEdge file, Lock gate, SliceCache refcounts, ResidentTable table, HeaderStore headers, OverlapGuard guard, AsyncMutex roundLock)
    : RefcountBlocks(file, gate, refcounts, table, headers, guard, roundLock)
{
    private const long MaxHostOffset = 1L << 55;

    private readonly AsyncMutex allocating = new();
    private long freeByte; // where the next compressed cluster may go, or 0
    private long uncounted;

    /// <summary>
    /// How many references were given back that were not counted: the counts on disk were wrong, or a cluster was given back
    /// twice.
    /// </summary>
    public long UncountedReleases => Interlocked.Read(ref uncounted);

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
    /// <returns>Where it goes.</returns>
    public async ValueTask<HostOffset> AllocateBytesAsync(int length)
    {
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            var at = await TryShareAsync(length).ConfigureAwait(false);
            if (at < 0)
            {
                var run = await FindAsync(1).ConfigureAwait(false);
                var joined = await TryShareAsync(length, run.Offset.Value).ConfigureAwait(false);
                at = joined >= 0 ? joined : run.Offset.Value;
            }

            lock (Gate)
            {
                var end = at + length;
                freeByte = (end & (ClusterSize - 1)) == 0 ? 0 : end;
            }

            return new HostOffset(at);
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
    public override async ValueTask ReleaseAsync(FreedRange range, bool mayWriteBack = true)
    {
        var first = range.Offset.Value >> ClusterBits;
        if (range.Punch)
        {
            await PunchAsync(first, range.Count, mayWriteBack).ConfigureAwait(false);
        }

        for (var cluster = first; cluster < first + range.Count;)
        {
            if (Table[cluster / BlockEntries] == 0)
            {
                Interlocked.Increment(ref uncounted);
                cluster++;
                continue;
            }

            var slice = await SliceOfAsync(cluster, mayWriteBack).ConfigureAwait(false);
            lock (Gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                for (var index = (int)(cluster % SliceEntries); index < SliceEntries && cluster < first + range.Count; index++, cluster++)
                {
                    var count = RefcountWidth.Get(slice.Bytes, Order, index);
                    if (count == 0)
                    {
                        Interlocked.Increment(ref uncounted);
                        continue;
                    }

                    RefcountWidth.Set(slice.Bytes, Order, index, count - 1);
                    if (count == 1)
                    {
                        NextFree = Math.Min(NextFree, cluster);
                        freeByte = freeByte >> ClusterBits == cluster ? 0 : freeByte;
                    }
                }

                Refcounts.MarkDirty(slice);
            }
        }
    }

    /// <summary>Gives back clusters that were taken and never linked, as far as that works at once.</summary>
    /// <returns>The rest of the range: a round can try again.</returns>
    public async ValueTask<FreedRange> ReturnAsync(FreedRange range)
    {
        try
        {
            while (range.Count > 0)
            {
                var part = FirstPart(range);
                await ReleaseAsync(part, mayWriteBack: false).ConfigureAwait(false);
                range = range with { Offset = range.Offset + (part.Count << ClusterBits), Count = range.Count - part.Count };
            }
        }
        catch (BlockException)
        {
            // Nothing is lost: they stay counted until the round.
        }

        return range;
    }

    /// <summary>Cuts off the end of the file that nothing uses, and gives up refcount blocks that count nothing.</summary>
    /// <param name="round">Brings the refcount table to the disk. All that was freed is durable.</param>
    public async ValueTask CutFileAsync(WriteBackRound round)
    {
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            await DropEmptyBlocksAsync(round).ConfigureAwait(false);
            var end = await FindEndAsync().ConfigureAwait(false);
            if (File.Node.GrowsOnWrite && end < File.Length)
            {
                await File.ResizeAsync(end).ConfigureAwait(false);
            }
        }
        finally
        {
            allocating.Release();
        }
    }

    /// <summary>Gives everything but a few clusters back at once, and cuts off the end of the file.</summary>
    /// <param name="reset">Does it.</param>
    /// <param name="kept">What stays.</param>
    /// <param name="round">Brings the refcount table to the disk. No table names anything that does not stay, durably.</param>
    public async ValueTask KeepOnlyAsync(RefcountReset reset, KeptRefcounts kept, WriteBackRound round)
    {
        await allocating.WaitAsync().ConfigureAwait(false);
        try
        {
            await reset.RunAsync(kept, round).ConfigureAwait(false);
            CountsChanged(lowestFreed: 0);
        }
        finally
        {
            allocating.Release();
        }

        await CutFileAsync(round).ConfigureAwait(false);
    }

    /// <summary>The part of a range whose counts are in one slice: releasing it happens as a whole or not at all.</summary>
    public FreedRange FirstPart(in FreedRange range) => range with
    {
        Count = Math.Min(range.Count, SliceEntries - ((range.Offset.Value >> ClusterBits) % SliceEntries)),
    };

    /// <summary>Counts changed on disk, past the cache, which holds none of them.</summary>
    /// <param name="lowestFreed">The first cluster that became free by it.</param>
    public void CountsChanged(long lowestFreed)
    {
        lock (Gate)
        {
            NextFree = Math.Min(NextFree, lowestFreed);
            freeByte = 0;
        }
    }

    private async ValueTask PunchAsync(long first, long count, bool mayWriteBack)
    {
        for (var cluster = first; cluster < first + count;)
        {
            if (Table[cluster / BlockEntries] == 0)
            {
                cluster++;
                continue;
            }

            var slice = await SliceOfAsync(cluster, mayWriteBack).ConfigureAwait(false);
            var start = cluster;
            lock (Gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                for (var index = (int)(cluster % SliceEntries); index < SliceEntries && cluster < first + count; index++, cluster++)
                {
                    if (RefcountWidth.Get(slice.Bytes, Order, index) != 1)
                    {
                        break;
                    }

                    freeByte = freeByte >> ClusterBits == cluster ? 0 : freeByte; // nothing more is put into it
                }
            }

            var from = start << ClusterBits;
            var to = Math.Min(cluster << ClusterBits, File.Length);
            if (from < to)
            {
                await File.DiscardAsync(from, to - from).ConfigureAwait(false);
            }

            cluster = Math.Max(cluster, start + (cluster == start ? 1 : 0));
        }
    }

    /// <summary>
    /// Puts a compressed cluster into the room that the last one left in its cluster: as a whole, or spanning a new cluster that
    /// follows that one.
    /// </summary>
    /// <param name="length">Bytes.</param>
    /// <param name="newCluster">Where the new cluster begins, or -1 where none is taken yet.</param>
    /// <returns>Where it goes, or -1.</returns>
    private async ValueTask<long> TryShareAsync(int length, long newCluster = -1)
    {
        while (true)
        {
            var at = Volatile.Read(ref freeByte);
            var end = (at & -ClusterSize) + ClusterSize; // of the cluster with the room
            if (at == 0 || (newCluster < 0 ? at + length > end : end != newCluster || at + length <= end))
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
        var cluster = at >> ClusterBits;
        var slice = await SliceOfAsync(cluster, mayWriteBack: true).ConfigureAwait(false);
        lock (Gate)
        {
            if (!slice.IsResident || freeByte != at)
            {
                return null;
            }

            var index = (int)(cluster % SliceEntries);
            var count = RefcountWidth.Get(slice.Bytes, Order, index);
            if (count == 0 || count >= RefcountWidth.Max(Order))
            {
                freeByte = 0;
                return false;
            }

            RefcountWidth.Set(slice.Bytes, Order, index, count + 1);
            Refcounts.MarkDirty(slice);
            return true;
        }
    }

    private async ValueTask<HostRun> FindAsync(int wanted)
    {
        var hint = Volatile.Read(ref NextFree);
        var cluster = hint;
        long start = -1;
        var count = 0;
        while (count < wanted)
        {
            if (cluster >= MaxHostOffset >> ClusterBits)
            {
                throw new BlockException(ErrorCode.NoSpace, $"The image '{File.Node.FileName}' has no free cluster left", File.Node.FileName);
            }

            var block = cluster / BlockEntries;
            if (block >= Table.Count || Table[block] == 0)
            {
                if (count > 0)
                {
                    break;
                }

                cluster = block >= Table.Count
                    ? await GrowTableAsync(cluster).ConfigureAwait(false)
                    : await NewBlockAsync(cluster).ConfigureAwait(false);
                hint = Volatile.Read(ref NextFree);
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

            lock (Gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                var origin = cluster - (cluster % SliceEntries);
                var index = (int)(cluster - origin);
                if (count == 0)
                {
                    index = RefcountWidth.FindFree(slice.Bytes, Order, index, SliceEntries);
                    start = origin + index;
                }

                var before = count;
                for (; index < SliceEntries && count < wanted && RefcountWidth.Get(slice.Bytes, Order, index) == 0; index++, count++)
                {
                    RefcountWidth.Set(slice.Bytes, Order, index, 1);
                }

                cluster = origin + index;
                if (count > before)
                {
                    Refcounts.MarkDirty(slice);
                    NextFree = NextFree == hint ? hint = cluster : NextFree; // unless a lower one became free meanwhile
                }

                if (count > 0 && index < SliceEntries)
                {
                    break;
                }
            }
        }

        return await TakeAsync(start, count).ConfigureAwait(false);
    }
}
