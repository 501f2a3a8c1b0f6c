using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Deletes a snapshot. One write of the header shows a table without it; then its clusters lose a reference, and when that is
/// durable the active tables' COPIED flags are set where a count is 1 again.
/// </summary>
internal sealed class SnapshotRemoval(SnapshotWork work)
{
    /// <summary>Deletes it.</summary>
    /// <param name="table">The snapshot table.</param>
    /// <param name="index">Which one.</param>
    /// <param name="diskSize">The disk's length, in bytes.</param>
    public async ValueTask RunAsync(SnapshotTable table, int index, long diskSize)
    {
        work.CheckWritable();
        var entry = table.Entries[index];
        List<SnapshotEntry> left = [.. table.Entries];
        left.RemoveAt(index);
        var l1 = await work.ReadL1Async(entry).ConfigureAwait(false);
        var tables = work.Sweep.TablesOf(l1);
        await work.PrepareAsync(changesDisk: false, (tables, -1), (work.Sweep.TablesOf(work.L1), 0)).ConfigureAwait(false);
        var taken = new List<FreedRange>();
        RefcountTally tally;
        try
        {
            var place = await work.StoreAsync(SnapshotTable.Encode(left, diskSize, work.File.Node.FileName), taken).ConfigureAwait(false);
            await work.SettleAsync().ConfigureAwait(false);
            tally = work.NewTally();
            await work.Sweep.CountAsync(tables, tally, -1).ConfigureAwait(false);
            await LowerAsync(tally, entry.L1Offset, entry.L1Entries * 8L).ConfigureAwait(false);
            await LowerAsync(tally, work.Header.SnapshotsOffset, table.Bytes).ConfigureAwait(false);
            Qcow2Header Show(Qcow2Header h) => h with { SnapshotCount = (uint)left.Count, SnapshotsOffset = place };
            var guard = await work.PlanGuardAsync(Show(work.Header), work.L1).ConfigureAwait(false);
            await work.BeginAsync().ConfigureAwait(false);
            await work.SwitchAsync(Show, guard).ConfigureAwait(false);
        }
        catch
        {
            await work.GiveBackAsync(taken).ConfigureAwait(false);
            throw;
        }

        try
        {
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

    private ValueTask LowerAsync(RefcountTally tally, long offset, long bytes)
    {
        var bits = work.Header.ClusterBits;
        return bytes == 0 ? default : tally.AddAsync(offset >> bits, (bytes + work.Header.ClusterSize - 1) >> bits, -1);
    }
}
