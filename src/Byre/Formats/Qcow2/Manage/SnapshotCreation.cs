using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Takes a snapshot. The L1 table's copy and the new snapshot table are written to new clusters; the COPIED flags of the active
/// tables go, then each cluster gets one more reference, and then one write of the header shows the new table.
/// </summary>
internal sealed class SnapshotCreation(SnapshotWork work)
{
    /// <summary>Takes it.</summary>
    /// <param name="request">What it is to say of itself.</param>
    /// <param name="diskSize">The disk's length, in bytes.</param>
    /// <returns>What the snapshot table says of it.</returns>
    public async ValueTask<SnapshotEntry> RunAsync(SnapshotRequest request, long diskSize)
    {
        work.CheckWritable();
        var header = work.Header;
        var name = work.File.Node.FileName;
        var table = await SnapshotTable.ReadAsync(work.File, header).ConfigureAwait(false);
        var entry = table.NewEntry(request, diskSize);
        _ = SnapshotTable.Encode([.. table.Entries, entry], diskSize, name); // there is room for it
        var tables = work.Sweep.TablesOf(work.L1);
        await work.PrepareAsync(changesDisk: false, (tables, 1)).ConfigureAwait(false);
        var taken = new List<FreedRange>();
        try
        {
            entry = entry with
            {
                L1Entries = (uint)work.L1.Count,
                L1Offset = await work.StoreAsync(TablesWithoutFlags(work.L1), taken).ConfigureAwait(false),
            };
            var bytes = SnapshotTable.Encode([.. table.Entries, entry], diskSize, name);
            var place = await work.StoreAsync(bytes, taken).ConfigureAwait(false);
            await work.SettleAsync().ConfigureAwait(false);
            var tally = work.NewTally();
            await work.Sweep.CountAsync(tables, tally, 1).ConfigureAwait(false);
            Qcow2Header Show(Qcow2Header h) => h with { SnapshotCount = (uint)table.Entries.Count + 1, SnapshotsOffset = place };
            var guard = await work.PlanGuardAsync(Show(work.Header), work.L1).ConfigureAwait(false);
            await work.BeginAsync().ConfigureAwait(false);
            await work.ClearCopiedAsync(tables).ConfigureAwait(false);
            await tally.WriteAsync().ConfigureAwait(false);
            await work.File.FlushAsync().ConfigureAwait(false);
            await work.SwitchAsync(Show, guard).ConfigureAwait(false);
        }
        catch
        {
            await work.GiveBackAsync(taken).ConfigureAwait(false);
            throw;
        }

        await work.ReleaseAsync(header.SnapshotsOffset, table.Bytes).ConfigureAwait(false);
        await work.EndAsync().ConfigureAwait(false);
        return entry;
    }

    /// <summary>The bytes of an L1 table in which no COPIED flag is set.</summary>
    internal static byte[] TablesWithoutFlags(ResidentTable l1, int? count = null)
    {
        var entries = l1.CopyEntries(count ?? l1.Count);
        for (var i = 0; i < entries.Length; i++)
        {
            entries[i] &= ~L1Entry.CopiedBit;
        }

        var bytes = new byte[entries.Length * 8];
        ResidentTable.WriteEntries(entries, bytes);
        return bytes;
    }
}
