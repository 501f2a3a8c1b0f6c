using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Lets the kernel put whole clusters into the file, by sharing blocks with another file or by copying. Only where nothing
/// has to be copied around them; everything else is left to who can read the bytes and write them.
/// </summary>
internal sealed class KernelWrites(
    BlockEdge file, GuestMap map, WritePath writes, ClusterAllocator allocator, InFlightAllocations claims, OverlapGuard guard)
{
    /// <summary>Copies a range.</summary>
    /// <param name="guest">Where; a multiple of the cluster size, else nothing is done.</param>
    /// <param name="source">A node that stores plain bytes in a host file.</param>
    /// <param name="sourceOffset">Where in it.</param>
    /// <param name="length">Bytes; a last part of a cluster is left out.</param>
    /// <param name="mode">What the kernel may do.</param>
    /// <returns>Bytes copied from the front: whole clusters.</returns>
    public async ValueTask<long> CopyAsync(long guest, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        if ((guest & (map.ClusterSize - 1)) != 0)
        {
            return 0;
        }

        length &= -(long)map.ClusterSize;
        long done = 0;
        while (done < length)
        {
            var n = Math.Min(length - done, map.SliceEnd(guest + done) - guest - done);
            using var claim = await claims.ClaimAsync(guest + done, guest + done + n).ConfigureAwait(false);
            n = await CopyClaimedAsync(guest + done, source, sourceOffset + done, n, mode).ConfigureAwait(false);
            if (n == 0)
            {
                break;
            }

            done += n;
        }

        return done;
    }

    private async ValueTask<long> CopyClaimedAsync(long guest, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        await map.EnsureTableAsync(guest).ConfigureAwait(false);
        var entries = await map.EntriesAsync(guest, (int)(length >> map.ClusterBits)).ConfigureAwait(false);
        var count = 0;
        while (count < entries.Length && !entries[count].HasHost(map.Geometry) && !entries[count].IsCompressed)
        {
            count++;
        }

        if (count == 0)
        {
            return 0;
        }

        var run = await allocator.AllocateAsync(count).ConfigureAwait(false);
        var copied = 0;
        try
        {
            if (guard.Find(run.Offset, (long)run.Count << map.ClusterBits) == OverlapChecks.None)
            {
                var bytes = await file.CopyRangeAsync(run.Offset.Value, source, sourceOffset, (long)run.Count << map.ClusterBits, mode).ConfigureAwait(false);
                copied = (int)(bytes >> map.ClusterBits);
            }

            if (copied > 0)
            {
                await writes.LinkNewAsync(guest, run with { Count = copied }, entries).ConfigureAwait(false);
            }
        }
        catch
        {
            await allocator.ReleaseAsync(new FreedRange(run.Offset, run.Count, false)).ConfigureAwait(false);
            throw;
        }

        if (copied < run.Count)
        {
            await allocator.ReleaseAsync(new FreedRange(run.Offset + ((long)copied << map.ClusterBits), run.Count - copied, false)).ConfigureAwait(false);
        }

        return (long)copied << map.ClusterBits;
    }
}
