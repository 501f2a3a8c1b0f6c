using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Brings the metadata that changed in memory to the disk, in the one order that a crash at any moment survives: refcounts
/// and new data, a sync, then the tables that link them; and clusters lose a reference only when what unlinked them is
/// durable and every older request has ended.
/// </summary>
/// <remarks>One round runs at a time, under the round lock; the metadata lock is taken inside of it.</remarks>
internal sealed class WriteBackRound(
    BlockEdge file,
    BlockEdge? dataFile,
    Lock gate,
    AsyncMutex roundLock,
    SliceCache l2,
    SliceCache refcounts,
    ResidentTable l1,
    ResidentTable refcountTable,
    Quarantine quarantine,
    ClusterAllocator allocator,
    HeaderStore headers)
{
    private const int CleanRounds = 16;

    private readonly int clusterBits = headers.Header.ClusterBits;
    private BlockException? releaseFailure; // of the last round

    /// <summary>
    /// Refcounts stay in memory until the image is closed: it carries the dirty bit, and they are rebuilt after a crash.
    /// </summary>
    public bool IsLazy { get; set; }

    /// <summary>With lazy refcounts, more dirty slices than this are written all the same.</summary>
    public int LazyLimit { get; init; } = 1024;

    /// <summary>Nothing is dirty, and nothing waits to be freed.</summary>
    public bool IsClean
    {
        get
        {
            lock (gate)
            {
                return l2.DirtyCount == 0 && refcounts.DirtyCount == 0 && !l1.IsDirty && !refcountTable.IsDirty && quarantine.IsEmpty;
            }
        }
    }

    /// <summary>Writes everything that is dirty now. Where it fails, what was not written is dirty again.</summary>
    /// <param name="all">Also lazy refcounts.</param>
    public async ValueTask RunAsync(bool all = false)
    {
        await roundLock.WaitAsync().ConfigureAwait(false);
        try
        {
            await RunLockedAsync(all).ConfigureAwait(false);
        }
        finally
        {
            roundLock.Release();
        }
    }

    /// <summary>Syncs, and lets go of what is durable then. For the flush that follows a round.</summary>
    public async ValueTask SyncAsync()
    {
        await roundLock.WaitAsync().ConfigureAwait(false);
        try
        {
            await SyncLockedAsync().ConfigureAwait(false);
        }
        finally
        {
            roundLock.Release();
        }
    }

    /// <summary>Writes and syncs until nothing is left to do, or only what requests in flight still hold.</summary>
    public async ValueTask CleanAsync()
    {
        await headers.SettleAsync().ConfigureAwait(false);
        for (var i = 0; i < CleanRounds && !IsClean; i++)
        {
            await RunAsync(all: true).ConfigureAwait(false);
            await SyncAsync().ConfigureAwait(false);
        }

        if (releaseFailure is { } failure && !IsClean)
        {
            throw failure;
        }
    }

    private async ValueTask SyncLockedAsync()
    {
        int covered;
        lock (gate)
        {
            covered = quarantine.WrittenCount;
        }

        await SyncFilesAsync().ConfigureAwait(false);
        lock (gate)
        {
            quarantine.Retire(covered);
        }
    }

    private async ValueTask RunLockedAsync(bool all)
    {
        await headers.SettleAsync().ConfigureAwait(false);
        List<FreedRange> frees;
        SliceCopies? tables;
        List<(int Sector, byte[] Bytes)> roots;
        lock (gate)
        {
            frees = quarantine.TakePending();
            tables = l2.TakeDirty();
            roots = l1.TakeDirty();
        }

        var written = false;
        try
        {
            await WriteRefcountsAsync(all).ConfigureAwait(false);
            if (tables is not null || roots.Count > 0)
            {
                await SyncLockedAsync().ConfigureAwait(false);
                if (tables is not null)
                {
                    file.DebugEvent(BlkdebugEvent.L2Update);
                    await tables.WriteAsync(file).ConfigureAwait(false);
                }

                if (roots.Count > 0)
                {
                    file.DebugEvent(BlkdebugEvent.L1Update);
                    await l1.WriteAsync(file, roots).ConfigureAwait(false);
                }
            }

            written = true;
        }
        finally
        {
            Settle(frees, tables, roots, written);
        }

        await ReleaseSafeAsync().ConfigureAwait(false);
    }

    private void Settle(List<FreedRange> frees, SliceCopies? tables, List<(int Sector, byte[] Bytes)> roots, bool written)
    {
        if (tables is not null)
        {
            l2.Finish(tables, written);
            tables.Dispose();
        }

        lock (gate)
        {
            if (written)
            {
                quarantine.MarkWritten(frees);
            }
            else
            {
                quarantine.PutBack(frees);
                l1.PutBack(roots);
            }
        }
    }

    private async ValueTask WriteRefcountsAsync(bool all)
    {
        SliceCopies? counts = null;
        List<(int Sector, byte[] Bytes)> roots;
        lock (gate)
        {
            if (all || !IsLazy || refcounts.DirtyCount > LazyLimit)
            {
                counts = refcounts.TakeDirty();
            }

            roots = refcountTable.TakeDirty();
        }

        if (counts is not null)
        {
            var written = false;
            try
            {
                file.DebugEvent(BlkdebugEvent.RefblockUpdatePart);
                await counts.WriteAsync(file).ConfigureAwait(false);
                written = true;
            }
            finally
            {
                refcounts.Finish(counts, written);
                counts.Dispose();
                if (!written)
                {
                    PutBackRefcountRoots(roots);
                }
            }
        }

        if (roots.Count > 0)
        {
            var written = false;
            try
            {
                await SyncLockedAsync().ConfigureAwait(false); // a new block is durable before the table names it
                file.DebugEvent(BlkdebugEvent.ReftableUpdate);
                await refcountTable.WriteAsync(file, roots).ConfigureAwait(false);
                written = true;
            }
            finally
            {
                if (!written)
                {
                    PutBackRefcountRoots(roots);
                }
            }
        }
    }

    private void PutBackRefcountRoots(List<(int Sector, byte[] Bytes)> roots)
    {
        lock (gate)
        {
            refcountTable.PutBack(roots);
        }
    }

    private async ValueTask SyncFilesAsync()
    {
        if (dataFile is not null)
        {
            await dataFile.FlushAsync().ConfigureAwait(false);
        }

        await file.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Clusters whose unlinking is durable and that no request can see lose their reference now.</summary>
    /// <remarks>
    /// That it fails breaks no promise: the clusters stay counted, and a later round tries again, without giving their space
    /// back to the file. Only when the image is closed a failure that lasts is told, as the clusters are leaked then.
    /// </remarks>
    private async ValueTask ReleaseSafeAsync()
    {
        List<FreedRange>? safe;
        lock (gate)
        {
            safe = quarantine.TakeSafe();
        }

        releaseFailure = null;
        for (var i = 0; i < (safe?.Count ?? 0); i++)
        {
            var rest = safe![i];
            try
            {
                while (rest.Count > 0)
                {
                    var part = allocator.FirstPart(rest);
                    await allocator.ReleaseAsync(part, mayWriteBack: false).ConfigureAwait(false);
                    rest = new FreedRange(rest.Offset + (part.Count << clusterBits), rest.Count - part.Count, rest.Punch);
                }
            }
            catch (BlockException e)
            {
                releaseFailure = e;
                lock (gate)
                {
                    quarantine.RetireAgain(rest with { Punch = false });
                }
            }
        }
    }
}
