using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Moves the L1 table to a longer one. The new table is durable, with all that it names, before one write of the header makes
/// it count.
/// </summary>
internal sealed class L1Growth(
    BlockEdge file,
    Lock gate,
    ResidentTable l1,
    HeaderStore headers,
    ClusterAllocator allocator,
    OverlapGuard guard,
    WriteBackRound round,
    AsyncMutex roundLock)
{
    private const int Sector = 512;

    /// <summary>Makes the table long enough.</summary>
    /// <param name="length">Where the last byte that it must be able to map ends.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.TooLarge"/>: no table can be so long.</exception>
    public async ValueTask EnsureAsync(long length)
    {
        var header = headers.Header;
        var perTable = (long)(header.ClusterSize / header.L2EntrySize) << header.ClusterBits;
        var needed = (length + perTable - 1) / perTable;
        if (needed <= l1.Count)
        {
            return;
        }

        if (needed > Qcow2Limits.MaxL1Bytes / 8)
        {
            throw new BlockException(
                ErrorCode.TooLarge, $"The image '{file.Node.FileName}' cannot be so large with its cluster size", file.Node.FileName);
        }

        file.DebugEvent(BlkdebugEvent.L1GrowAllocTable);
        var clusters = (int)(((needed * 8) + header.ClusterSize - 1) >> header.ClusterBits);
        var run = await allocator.AllocateAllAsync(clusters).ConfigureAwait(false);
        var oldOffset = l1.Offset;
        var oldBytes = l1.Count * 8L;

        // The table moves with all that it names durable, so that the header can point to it at once.
        await round.RunAsync(all: true).ConfigureAwait(false);
        await roundLock.WaitAsync().ConfigureAwait(false);
        try
        {
            await MoveL1Async(run, (int)needed).ConfigureAwait(false);
            lock (gate)
            {
                guard.Remove(OverlapChecks.ActiveL1, new HostOffset(oldOffset), oldBytes);
                guard.Add(OverlapChecks.ActiveL1, run.Offset, needed * 8);
            }
        }
        finally
        {
            roundLock.Release();
        }

        if (oldBytes > 0)
        {
            var given = (oldBytes + header.ClusterSize - 1) >> header.ClusterBits;
            await allocator.ReleaseAsync(new FreedRange(new HostOffset(oldOffset), given, false)).ConfigureAwait(false);
        }
    }

    private async ValueTask MoveL1Async(HostRun run, int needed)
    {
        ulong[] entries;
        List<(int Sector, byte[] Bytes)> late;
        lock (gate)
        {
            entries = l1.CopyEntries(needed);
            late = l1.TakeDirty(); // linked since the round: left out of the copy on disk, dirty again in the new table
        }

        var onDisk = new byte[(long)run.Count << headers.Header.ClusterBits];
        ResidentTable.WriteEntries(entries, onDisk);
        foreach (var (sector, _) in late)
        {
            onDisk.AsSpan(sector * Sector, Math.Min(Sector, onDisk.Length - (sector * Sector))).Clear();
        }

        try
        {
            if (late.Count > 0)
            {
                await KeepOldSectorsAsync(onDisk, late).ConfigureAwait(false);
            }

            file.DebugEvent(BlkdebugEvent.L1GrowWriteTable);
            await file.WriteAsync(run.Offset.Value, onDisk).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
            file.DebugEvent(BlkdebugEvent.L1GrowActivateTable);
            await headers.UpdateAsync(h => h with { L1Offset = run.Offset.Value, L1Entries = (uint)needed }).ConfigureAwait(false);
        }
        catch
        {
            lock (gate)
            {
                l1.PutBack(late);
            }

            throw;
        }

        lock (gate)
        {
            l1.Move(run.Offset.Value, needed, late);
        }
    }

    /// <summary>Sectors that changed since the last round go over as the old table on disk has them.</summary>
    private async ValueTask KeepOldSectorsAsync(byte[] onDisk, List<(int Sector, byte[] Bytes)> late)
    {
        foreach (var (sector, bytes) in late)
        {
            await PaddedReads.ReadAsync(file, l1.Offset + (sector * (long)Sector), onDisk.AsMemory(sector * Sector, bytes.Length)).ConfigureAwait(false);
        }
    }
}
