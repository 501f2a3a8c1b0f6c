using System.Runtime.CompilerServices;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Requests;

/// <summary>
/// Writes any range of a node: split to its longest transfer, blocks written in part read first, FUA by a flush where the
/// node does not do it. The caller has entered the node's tracker; where blocks are written in part it holds a lease.
/// </summary>
internal static class AlignedWrites
{
    /// <summary>Writes the whole of the data; the range lies in the node.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask WriteAsync(BlockNode node, long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var supported = node.SupportedWriteFlags | WriteFlags.Unchanged;
        if ((flags & ~supported & WriteFlags.Compressed) != 0)
        {
            throw new BlockException(
                ErrorCode.NotSupported, $"The {node.DriverName} driver cannot write compressed data.", node.Name, offset);
        }

        try
        {
            await WritePiecesAsync(node, offset, data, flags & supported).ConfigureAwait(false);
        }
        finally
        {
            node.MarkChanged(offset, data.Length);
            node.OnDebugEvent(BlkdebugEvent.PwritevDone);
        }

        if ((flags & ~supported & WriteFlags.Fua) != 0)
        {
            await node.Flushes.FlushAsync().ConfigureAwait(false);
        }
    }

    private static async ValueTask WritePiecesAsync(BlockNode node, long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var limits = node.Limits;
        var block = limits.RequestAlignment;
        var max = Alignment.MaxTransfer(limits);
        var nodeLength = node.Length;
        var end = offset + data.Length;
        var firstWhole = Alignment.Up(offset, block);
        var blocksEnd = end >= nodeLength ? end : Alignment.Down(end, block);
        var direct = firstWhole < blocksEnd
            && Alignment.IsAligned(data[(int)(firstWhole - offset)..], limits.MemoryAlignment)
            && (firstWhole == offset && blocksEnd == end || end - offset > AlignedReads.ScratchLength);
        var announced = false;
        for (var at = offset; at < end;)
        {
            long to;
            if (direct && at >= firstWhole && at < blocksEnd)
            {
                to = at + Math.Min(blocksEnd - at, max);
                Announce(node, ref announced);
                await node.WriteAsync(at, data[(int)(at - offset)..(int)(to - offset)], flags).ConfigureAwait(false);
                at = to;
                continue;
            }

            var from = Alignment.Down(at, block);
            var wanted = direct && at < firstWhole ? firstWhole : end;
            to = Math.Min(
                Math.Min(Alignment.Up(wanted, block), Math.Max(nodeLength, end)), from + Math.Min(max, Math.Max(block, AlignedReads.ScratchLength)));
            var stop = Math.Min(to, end);
            using var scratch = BufferPool.Rent((int)(to - from));
            await FillEdgesAsync(node, from, at, stop, block, scratch.Memory).ConfigureAwait(false);
            data.Span[(int)(at - offset)..(int)(stop - offset)].CopyTo(scratch.Memory.Span[(int)(at - from)..]);
            Announce(node, ref announced);
            await node.WriteAsync(from, scratch.Memory, flags).ConfigureAwait(false);
            at = stop;
        }
    }

    /// <summary>
    /// Reads what the first and the last block of a piece that begins at <paramref name="from"/> hold outside of [start, end);
    /// beyond the node's end that is zero.
    /// </summary>
    private static async ValueTask FillEdgesAsync(BlockNode node, long from, long start, long end, int block, Memory<byte> piece)
    {
        var there = Math.Min(from + piece.Length, node.Length); // a write that extends the node reaches beyond what is there
        var head = start > from && from < there;
        var tail = end < there;
        var tailStart = tail ? Alignment.Down(there - 1, block) : there;
        var together = head && tail && tailStart <= from + block;
        if (start > from && there < start)
        {
            piece.Span[(int)Math.Max(0, there - from)..(int)(start - from)].Clear();
        }

        if (head)
        {
            node.OnDebugEvent(BlkdebugEvent.PwritevRmwHead);
            if (together)
            {
                node.OnDebugEvent(BlkdebugEvent.PwritevRmwTail);
            }

            var n = together ? (int)(there - from) : (int)Math.Min(block, there - from);
            await node.ReadAsync(from, piece[..n]).ConfigureAwait(false);
            node.OnDebugEvent(BlkdebugEvent.PwritevRmwAfterHead);
            if (together)
            {
                node.OnDebugEvent(BlkdebugEvent.PwritevRmwAfterTail);
            }
        }

        if (tail && !together)
        {
            node.OnDebugEvent(BlkdebugEvent.PwritevRmwTail);
            await node.ReadAsync(tailStart, piece[(int)(tailStart - from)..(int)(there - from)]).ConfigureAwait(false);
            node.OnDebugEvent(BlkdebugEvent.PwritevRmwAfterTail);
        }
    }

    private static void Announce(BlockNode node, ref bool announced)
    {
        if (!announced)
        {
            announced = true;
            node.OnDebugEvent(BlkdebugEvent.Pwritev);
        }
    }
}
