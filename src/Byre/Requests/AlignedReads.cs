using System.Runtime.CompilerServices;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Requests;

/// <summary>
/// Reads any range of a node: split to its longest transfer, in whole blocks, into buffers it can use. The caller has
/// entered the node's tracker.
/// </summary>
internal static class AlignedReads
{
    /// <summary>Requests of at most this many bytes go through one scratch buffer, as one request to the node.</summary>
    public const int ScratchLength = 64 << 10;

    /// <summary>Fills the whole buffer; the range lies in the node.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask ReadAsync(BlockNode node, long offset, Memory<byte> buffer)
    {
        var limits = node.Limits;
        var block = limits.RequestAlignment;
        var max = Alignment.MaxTransfer(limits);
        var nodeLength = node.Length;
        var end = offset + buffer.Length;
        var firstWhole = Alignment.Up(offset, block);
        var blocksEnd = end == nodeLength ? end : Alignment.Down(end, block);
        var direct = firstWhole < blocksEnd
            && Alignment.IsAligned(buffer[(int)(firstWhole - offset)..], limits.MemoryAlignment)
            && (firstWhole == offset && blocksEnd == end || end - offset > ScratchLength);
        for (var at = offset; at < end;)
        {
            if (direct && at >= firstWhole && at < blocksEnd)
            {
                var n = (int)Math.Min(blocksEnd - at, max);
                await node.ReadAsync(at, buffer.Slice((int)(at - offset), n)).ConfigureAwait(false);
                at += n;
                continue;
            }

            var from = Alignment.Down(at, block);
            var wanted = direct && at < firstWhole ? firstWhole : end;
            var to = Math.Min(Math.Min(Alignment.Up(wanted, block), nodeLength), from + Math.Min(max, Math.Max(block, ScratchLength)));
            using var scratch = BufferPool.Rent((int)(to - from));
            await node.ReadAsync(from, scratch.Memory).ConfigureAwait(false);
            var stop = Math.Min(to, end);
            scratch.Memory.Span[(int)(at - from)..(int)(stop - from)].CopyTo(buffer.Span[(int)(at - offset)..]);
            at = stop;
        }
    }
}
