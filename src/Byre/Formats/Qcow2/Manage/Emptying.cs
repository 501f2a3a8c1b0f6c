using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Makes the guest's disk absent in this layer. Where nothing but the active tables names clusters, the L1 table is cleared
/// and all counts go with a few writes; else every cluster is unlinked.
/// </summary>
internal sealed class Emptying(
    BlockEdge file,
    Lock gate,
    ResidentTable l1,
    SliceCache l2,
    SliceCache refcounts,
    ResidentTable refcountTable,
    HeaderStore headers,
    ClusterAllocator allocator,
    OverlapGuard guard,
    ZeroAndDiscard zeroes,
    WriteBackRound round,
    WritePreparation preparation,
    bool punches)
{
    /// <summary>Empties the layer; durable when it completes. No request is in flight.</summary>
    /// <param name="length">Length of the disk in bytes.</param>
    public async ValueTask RunAsync(long length)
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        await round.CleanAsync().ConfigureAwait(false);
        var header = headers.Header;
        var reset = new RefcountReset(file, gate, refcounts, refcountTable, headers, guard);
        var kept = IsAlone(header) && round.IsClean
            ? reset.Plan(
                (0, header.ClusterSize),
                (header.L1Offset, header.L1Entries * 8L),
                (header.RefcountTableOffset, (long)header.RefcountTableClusters << header.ClusterBits))
            : null;
        if (kept is null)
        {
            var mask = -(long)header.ClusterSize;
            await zeroes.CutAsync(0, (length + header.ClusterSize - 1) & mask).ConfigureAwait(false);
            await round.CleanAsync().ConfigureAwait(false);
            await allocator.CutFileAsync(round).ConfigureAwait(false);
            await round.CleanAsync().ConfigureAwait(false);
            return;
        }

        ClearL1(header);
        await round.RunAsync(all: true).ConfigureAwait(false);
        await round.SyncAsync().ConfigureAwait(false);
        await allocator.KeepOnlyAsync(reset, kept, round).ConfigureAwait(false);
        if (punches)
        {
            await PunchAsync(kept, header.ClusterBits).ConfigureAwait(false);
        }

        await round.CleanAsync().ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Nothing but the header and the active tables names clusters of the file.</summary>
    private static bool IsAlone(Qcow2Header header)
    {
        if (header.SnapshotCount > 0 || header.CryptMethod != 0 || header.HasDataFile)
        {
            return false;
        }

        foreach (var extension in header.Extensions)
        {
            if (extension.Type is not (HeaderExtensionTypes.BackingFormat or HeaderExtensionTypes.FeatureNames))
            {
                return false;
            }
        }

        return true;
    }

    private void ClearL1(Qcow2Header header)
    {
        lock (gate)
        {
            for (var index = 0L; index < l1.Count; index++)
            {
                if (l1[index] == 0)
                {
                    continue;
                }

                var entry = new L1Entry(l1[index]);
                l2.Forget(entry.Table.Value, header.ClusterSize);
                guard.Remove(OverlapChecks.ActiveL2, entry.Table, header.ClusterSize);
                l1.Set(index, 0);
            }
        }
    }

    /// <summary>Gives back what lies between the clusters that stay, where these are not all at the front.</summary>
    private async ValueTask PunchAsync(KeptRefcounts kept, int bits)
    {
        for (var i = 1; i < kept.Clusters.Count; i++)
        {
            var from = (kept.Clusters[i - 1] + 1) << bits;
            var to = Math.Min(kept.Clusters[i] << bits, file.Length);
            if (from < to)
            {
                await file.DiscardAsync(from, to - from).ConfigureAwait(false);
            }
        }
    }
}
