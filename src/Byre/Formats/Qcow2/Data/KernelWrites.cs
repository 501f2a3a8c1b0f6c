using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Lets the kernel put whole clusters into the file, by sharing blocks with another file or by copying; parts of clusters
/// are left to who can read the bytes and write them.
/// </summary>
/// <remarks>
/// Blocks are shared only in new clusters. Where the image has clusters already they may be preallocated, so that a write to
/// them never lacks space, and blocks that are shared take space when they are written to.
/// </remarks>
internal sealed class KernelWrites(BlockEdge file, GuestMap map, WritePath writes, InFlightAllocations claims)
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
        if ((guest & (map.ClusterSize - 1)) != 0 || file.Node is not ICopyRangeTarget)
        {
            return 0;
        }

        length &= -(long)map.ClusterSize;
        long done = 0;
        while (done < length)
        {
            var n = Math.Min(length - done, map.SliceEnd(guest + done) - guest - done);
            using var claim = await claims.ClaimAsync(guest + done, guest + done + n).ConfigureAwait(false);
            var from = sourceOffset + done;
            n = await writes.PutClaimedAsync(
                guest + done, n, mode == CopyRangeMode.ReflinkOnly, (host, bytes) => file.CopyRangeAsync(host.Value, source, from, bytes, mode)).ConfigureAwait(false);
            if (n == 0)
            {
                break;
            }

            done += n;
        }

        return done;
    }
}
