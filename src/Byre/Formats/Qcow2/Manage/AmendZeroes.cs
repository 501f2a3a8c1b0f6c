using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Replaces zero clusters, which version 2 does not know: by absent ones without a backing file, else by written zeroes.</summary>
internal sealed class AmendZeroes(GuestMap map, WritePath writes, ZeroAndDiscard zeroes, HeaderStore headers, WriteBackRound round)
{
    private const int Chunk = 1 << 20;
    private const long RoundEvery = 256L << 20;

    /// <summary>Replaces them all. The disk reads the same at any moment.</summary>
    /// <param name="length">Length of the disk in bytes.</param>
    public async ValueTask RunAsync(long length)
    {
        var mask = -(long)map.ClusterSize;
        var zero = new byte[Math.Max(Chunk, map.ClusterSize)];
        var written = 0L;
        for (long at = 0; at < length;)
        {
            var run = await map.FindAsync(at, length - at).ConfigureAwait(false);
            var end = at + run.Length;
            if (run.Kind is SubclusterKind.ZeroPlain or SubclusterKind.ZeroAllocated)
            {
                if (headers.Header.BackingFile is null)
                {
                    await zeroes.CutAsync(at, (end + map.ClusterSize - 1) & mask).ConfigureAwait(false);
                }
                else
                {
                    end = Math.Min(end, at + zero.Length);
                    await writes.WriteAsync(at, zero.AsMemory(0, (int)(end - at))).ConfigureAwait(false);
                    written += end - at;
                }
            }

            if (written >= RoundEvery)
            {
                written = 0;
                await round.RunAsync().ConfigureAwait(false);
            }

            at = end;
        }
    }
}
