using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// What the operations on snapshots have in common. No request of a user is in flight meanwhile; everything is on disk, and
/// the caches are empty, while tables are gone over past them.
/// </summary>
/// <remarks>
/// An image of version 3 has the dirty bit, durably, from before the first flag or count changes until all of them agree again,
/// so that one whose operation was cut short is repaired when it is next opened for writing. Version 2 has no such bit: there
/// COPIED flags may be left clear although a count is 1, and clusters leaked. The first costs a copy of what is written next,
/// the second space; both go with a repair.
/// </remarks>
internal sealed class SnapshotWork(
    BlockEdge file,
    Lock gate,
    ResidentTable l1,
    ResidentTable refcountTable,
    SliceCache l2,
    SliceCache refcounts,
    HeaderStore headers,
    ClusterAllocator allocator,
    OverlapGuard guard,
    WriteBackRound round,
    WritePreparation preparation,
    bool punches)
{
    private bool wasDirty;
    private bool hasBegun;

    /// <summary>The image file.</summary>
    public BlockEdge File => file;

    /// <summary>The header as it is now.</summary>
    public Qcow2Header Header => headers.Header;

    /// <summary>The active L1 table.</summary>
    public ResidentTable L1 => l1;

    /// <summary>Goes over whole tables.</summary>
    public TableSweep Sweep => new(file, headers.Header);

    /// <summary>Throws where the image keeps no snapshots or is not to be changed.</summary>
    public void CheckWritable()
    {
        var name = file.Node.FileName;
        if (!headers.IsWritable)
        {
            throw new BlockException(ErrorCode.ReadOnly, $"The image '{name}' is open for reading: its snapshots cannot be changed", name);
        }

        if (headers.Header.HasDataFile)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The image '{name}' has an external data file, and can have no snapshots", name);
        }

        headers.ThrowIfCorrupt();
    }

    /// <summary>
    /// Throws where the references of tables, and those of what they name, cannot be changed; then makes the image's header ready
    /// for changes. Where it throws nothing has changed.
    /// </summary>
    /// <param name="changesDisk">The disk will hold something else.</param>
    /// <param name="changes">L2 tables, and 1, -1, or 0 where only flags change.</param>
    public async ValueTask PrepareAsync(bool changesDisk, params (List<long> Tables, int Change)[] changes)
    {
        await SettleAsync().ConfigureAwait(false);
        foreach (var (tables, change) in changes)
        {
            await Sweep.CountAsync(tables, NewTally(), change).ConfigureAwait(false);
        }

        await preparation.RunAsync(keepAllZero: !changesDisk, keepBitmaps: !changesDisk).ConfigureAwait(false);
    }

    /// <summary>Brings all to the disk, durably, and drops the caches.</summary>
    public async ValueTask SettleAsync()
    {
        await round.CleanAsync().ConfigureAwait(false);
        if (!round.IsClean)
        {
            throw new BlockException(ErrorCode.Busy, $"The image '{file.Node.FileName}' has requests in flight", file.Node.FileName);
        }

        await file.FlushAsync().ConfigureAwait(false);
        l2.DropAll();
        refcounts.DropAll();
    }

    /// <summary>Counts to be changed, from what is on disk.</summary>
    public RefcountTally NewTally() => new(file, refcountTable, headers.Header);

    /// <summary>Reads a snapshot's L1 table.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: its place or length cannot be right.</exception>
    public ValueTask<ResidentTable> ReadL1Async(SnapshotEntry entry)
    {
        var name = file.Node.FileName;
        if (entry.L1Entries > Qcow2Limits.MaxL1Bytes / 8 || entry.L1Offset < 0 || (entry.L1Offset & (headers.Header.ClusterSize - 1)) != 0
            || entry.L1Offset > file.Length || (entry.L1Offset == 0 && entry.L1Entries > 0))
        {
            throw new BlockException(
                ErrorCode.Corrupt, $"The L1 table of the snapshot '{entry.Name}' of the image '{name}' has an impossible place or length", name);
        }

        return ResidentTable.ReadAsync(file, entry.L1Offset, (int)entry.L1Entries);
    }

    /// <summary>Writes a table into new clusters, which are counted but not linked.</summary>
    /// <param name="bytes">The table.</param>
    /// <param name="taken">Where it lies is added to this; nothing for an empty table.</param>
    /// <returns>Where it lies; 0 for an empty table.</returns>
    public async ValueTask<long> StoreAsync(ReadOnlyMemory<byte> bytes, List<FreedRange> taken)
    {
        if (bytes.IsEmpty)
        {
            return 0;
        }

        var size = headers.Header.ClusterSize;
        var run = await allocator.AllocateAllAsync((bytes.Length + size - 1) / size).ConfigureAwait(false);
        taken.Add(new FreedRange(run.Offset, run.Count, false));
        var padded = new byte[run.Count * size];
        bytes.CopyTo(padded);
        await file.WriteAsync(run.Offset.Value, padded).ConfigureAwait(false);
        return run.Offset.Value;
    }

    /// <summary>What was stored is not needed after all: it goes back as far as that works, and else stays leaked.</summary>
    public async ValueTask GiveBackAsync(List<FreedRange> taken)
    {
        preparation.KeepsDirty |= hasBegun;
        try
        {
            foreach (var range in taken)
            {
                await allocator.ReleaseAsync(range).ConfigureAwait(false);
            }

            await round.CleanAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // What failed before is the better message.
        }
    }

    /// <summary>The clusters of a table lose a reference, and are free if it was the last.</summary>
    public ValueTask ReleaseAsync(long offset, long bytes) => bytes == 0 ? default
        : allocator.ReleaseAsync(new FreedRange(new HostOffset(offset), (bytes + headers.Header.ClusterSize - 1) >> headers.Header.ClusterBits, false));

    /// <summary>What the guard must know when a header holds that leads to tables which are written already.</summary>
    public async ValueTask<OverlapGuard> PlanGuardAsync(Qcow2Header planned, ResidentTable plannedL1)
    {
        var next = guard.NewAlike();
        await OpenChecks.FillGuardAsync(next, file, planned, plannedL1, refcountTable).ConfigureAwait(false);
        return next;
    }

    /// <summary>From here on flags and counts may contradict each other on disk.</summary>
    public async ValueTask BeginAsync()
    {
        hasBegun = false;
        wasDirty = (headers.Header.Incompatible & IncompatibleFeatures.Dirty) != 0;
        if (headers.Header.Version >= 3 && !wasDirty)
        {
            await headers.UpdateAsync(h => h with { Incompatible = h.Incompatible | IncompatibleFeatures.Dirty }).ConfigureAwait(false);
        }

        hasBegun = true;
    }

    /// <summary>Switches to tables that are durable, by one write of the header, and makes sure that it is durable.</summary>
    public async ValueTask SwitchAsync(Func<Qcow2Header, Qcow2Header> change, OverlapGuard planned)
    {
        await headers.UpdateAsync(change).ConfigureAwait(false);
        lock (gate)
        {
            guard.TakeOver(planned);
        }
    }

    /// <summary>Clears the COPIED flags of the active tables, durably.</summary>
    public async ValueTask ClearCopiedAsync(List<long> tables)
    {
        lock (gate)
        {
            for (var i = 0; i < l1.Count; i++)
            {
                if (new L1Entry(l1[i]) is { IsCopied: true } entry)
                {
                    l1.Set(i, entry.Raw & ~L1Entry.CopiedBit);
                }
            }
        }

        await Sweep.ClearCopiedAsync(tables).ConfigureAwait(false);
        await round.RunAsync(all: true).ConfigureAwait(false);
        await round.SyncAsync().ConfigureAwait(false);
    }

    /// <summary>Writes counts that were lowered, durably, and gives freed space back to the file.</summary>
    public async ValueTask LowerAsync(RefcountTally tally)
    {
        await tally.WriteAsync().ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        if (punches)
        {
            await tally.PunchAsync().ConfigureAwait(false);
        }

        allocator.CountsChanged(tally.LowestFreed);
    }

    /// <summary>Sets the COPIED flags of the active tables where a count is 1. The counts are durable.</summary>
    public async ValueTask MarkCopiedAsync(RefcountTally tally)
    {
        var sweep = Sweep;
        var tables = sweep.TablesOf(l1);
        foreach (var table in tables)
        {
            await tally.LoadAsync(table >> headers.Header.ClusterBits).ConfigureAwait(false);
        }

        await sweep.MarkCopiedAsync(tables, tally).ConfigureAwait(false);
        lock (gate)
        {
            for (var i = 0; i < l1.Count; i++)
            {
                var entry = new L1Entry(l1[i]);
                var marked = L1Entry.For(entry.Table, entry.HasTable && tally.CountOf(entry.Table.Value >> headers.Header.ClusterBits) == 1);
                if (marked != entry)
                {
                    l1.Set(i, marked.Raw);
                }
            }
        }
    }

    /// <summary>Flags and counts agree again in memory: brings that to the disk, and takes the dirty bit away.</summary>
    public async ValueTask EndAsync()
    {
        await round.CleanAsync().ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        if (headers.Header.Version >= 3 && !wasDirty)
        {
            await headers.UpdateAsync(h => h with { Incompatible = h.Incompatible & ~IncompatibleFeatures.Dirty }).ConfigureAwait(false);
        }

        hasBegun = false;
    }

    /// <summary>The operation was cut short behind its switch: the image keeps the dirty bit, so that its next opening repairs it.</summary>
    public void LeaveDirty() => preparation.KeepsDirty |= hasBegun;
}
