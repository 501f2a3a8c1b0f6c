using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Makes the disk what a snapshot holds. The snapshot's clusters get one more reference, with their COPIED flags clear; one
/// write of the header shows a copy of its L1 table, and the disk's length then; and what the old active tables referred to
/// loses a reference.
/// </summary>
internal sealed class SnapshotApplication(SnapshotWork work, Lock gate)
{
    private const int Sector = 512;

    /// <summary>Applies it.</summary>
    /// <param name="entry">The snapshot.</param>
    /// <param name="diskSize">The disk's length now, in bytes; snapshots of old images do not say another.</param>
    /// <param name="setLength">Told the disk's new length when it is so.</param>
    public async ValueTask RunAsync(SnapshotEntry entry, long diskSize, Action<long> setLength)
    {
        work.CheckWritable();
        var old = work.Header;
        var name = work.File.Node.FileName;
        var length = LengthOf(entry, diskSize, name);
        if ((await Qcow2Listing.BitmapsAsync(work.File, old).ConfigureAwait(false)).Count > 0)
        {
            throw new BlockException(
                ErrorCode.Busy, $"The image '{name}' has dirty bitmaps, which would not be true of the disk as it was: remove them first", name);
        }

        var source = await work.ReadL1Async(entry).ConfigureAwait(false);
        var count = (int)Math.Max(source.Count, ImageGeometry.From(old).L1EntriesFor(length));
        var tables = work.Sweep.TablesOf(source);
        var oldTables = work.Sweep.TablesOf(work.L1);
        await work.PrepareAsync(changesDisk: true, (tables, 1), (oldTables, -1)).ConfigureAwait(false);
        var taken = new List<FreedRange>();
        RefcountTally tally;
        try
        {
            var bytes = SnapshotCreation.TablesWithoutFlags(source, count);
            var place = await work.StoreAsync(bytes, taken).ConfigureAwait(false);
            await work.SettleAsync().ConfigureAwait(false);
            tally = work.NewTally();
            await work.Sweep.CountAsync(tables, tally, 1).ConfigureAwait(false);
            Qcow2Header Show(Qcow2Header h) => h with { L1Offset = place, L1Entries = (uint)count, Size = length };
            var next = await ResidentTable.ReadAsync(work.File, place, count).ConfigureAwait(false);
            var guard = await work.PlanGuardAsync(Show(work.Header), next).ConfigureAwait(false);
            await work.BeginAsync().ConfigureAwait(false);
            await work.Sweep.ClearCopiedAsync(tables).ConfigureAwait(false);
            await work.File.FlushAsync().ConfigureAwait(false);
            await tally.WriteAsync().ConfigureAwait(false);
            await work.File.FlushAsync().ConfigureAwait(false);
            await work.SwitchAsync(Show, guard).ConfigureAwait(false);
            lock (gate)
            {
                work.L1.Replace(place, next.CopyEntries(count));
            }

            setLength(length);
        }
        catch
        {
            await work.GiveBackAsync(taken).ConfigureAwait(false);
            throw;
        }

        try
        {
            await work.Sweep.CountAsync(oldTables, tally, -1).ConfigureAwait(false);
            if (old.L1Entries > 0)
            {
                var clusters = ((old.L1Entries * 8L) + old.ClusterSize - 1) >> old.ClusterBits;
                await tally.AddAsync(old.L1Offset >> old.ClusterBits, clusters, -1).ConfigureAwait(false);
            }

            await work.LowerAsync(tally).ConfigureAwait(false);
            await work.MarkCopiedAsync(tally).ConfigureAwait(false);
            await work.EndAsync().ConfigureAwait(false);
        }
        catch
        {
            work.LeaveDirty();
            throw;
        }
    }

    /// <summary>The disk's length when the snapshot was taken: whole sectors.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it cannot be.</exception>
    private long LengthOf(SnapshotEntry entry, long diskSize, string name)
    {
        var length = entry.DiskSize ?? (ulong)diskSize;
        return length % Sector == 0 && length <= (ulong)ImageGeometry.From(work.Header).MaxSize
            ? (long)length
            : throw new BlockException(ErrorCode.Corrupt, $"The snapshot '{entry.Name}' of the image '{name}' has an impossible disk size ({length} bytes)", name);
    }
}
