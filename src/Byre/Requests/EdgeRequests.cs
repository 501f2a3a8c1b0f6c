using System.Runtime.CompilerServices;
using Byre.Nodes;

namespace Byre.Requests;

/// <summary>
/// The requests of an edge that cannot simply be handed to its node: those that must wait, be aligned, split or emulated,
/// and the rest of those that did not complete at once.
/// </summary>
internal static class EdgeRequests
{
    /// <summary>Waits for a read that the node has begun, and leaves.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask FinishReadAsync(BlockNode node, ValueTask pending)
    {
        try
        {
            await pending.ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.Leave();
        }
    }

    /// <summary>Waits for a write that the node has begun, and leaves.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask FinishWriteAsync(BlockNode node, ValueTask pending, long offset, int length)
    {
        try
        {
            await pending.ConfigureAwait(false);
        }
        finally
        {
            node.MarkChanged(offset, length);
            node.OnDebugEvent(BlkdebugEvent.PwritevDone);
            node.Tracker.Leave();
        }
    }

    /// <summary>A read that must wait, or that the node does not take as it is.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask ReadAsync(BlockEdge edge, BlockNode node, long offset, Memory<byte> buffer)
    {
        EdgeChecks.Range(edge, node, offset, buffer.Length);
        var entry = await EnterAsync(edge, node, offset, buffer.Length).ConfigureAwait(false);
        try
        {
            EdgeChecks.Range(edge, node, offset, buffer.Length);
            await AlignedReads.ReadAsync(node, offset, buffer).ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.Leave(entry);
        }
    }

    /// <summary>A write that must wait, or that the node does not take as it is.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask WriteAsync(
        BlockEdge edge, BlockNode node, long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        EdgeChecks.WriteRange(edge, node, offset, data.Length);
        var entry = await EnterWriteAsync(edge, node, offset, data.Length).ConfigureAwait(false);
        try
        {
            EdgeChecks.WriteRange(edge, node, offset, data.Length);
            await AlignedWrites.WriteAsync(node, offset, data, flags).ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.Leave(entry);
        }
    }

    /// <summary>Write-zeroes.</summary>
    public static async ValueTask WriteZeroesAsync(BlockEdge edge, BlockNode node, long offset, long length, WriteFlags flags)
    {
        EdgeChecks.WriteRange(edge, node, offset, length);
        var entry = await EnterWriteAsync(edge, node, offset, length).ConfigureAwait(false);
        try
        {
            EdgeChecks.WriteRange(edge, node, offset, length);
            await ZeroRequests.WriteZeroesAsync(node, offset, length, flags).ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.Leave(entry);
        }
    }

    /// <summary>Discard.</summary>
    public static async ValueTask DiscardAsync(BlockEdge edge, BlockNode node, long offset, long length)
    {
        EdgeChecks.Range(edge, node, offset, length);
        var entry = node.Tracker.TryEnter() ? null : await EnterAsync(edge, node, offset, length).ConfigureAwait(false);
        try
        {
            EdgeChecks.Range(edge, node, offset, length);
            await DiscardRequests.DiscardAsync(node, offset, length).ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.Leave(entry);
        }
    }

    /// <summary>Flush.</summary>
    public static async ValueTask FlushAsync(BlockEdge edge, BlockNode node)
    {
        await EnterUnrangedAsync(edge, node).ConfigureAwait(false);
        try
        {
            await node.Flushes.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            node.Tracker.LeaveUnranged();
        }
    }

    /// <summary>Waits for an answer for extents that the node has begun to give, and leaves.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public static async ValueTask FinishExtentsAsync(BlockNode node, ValueTask pending, ExtentList extents, long before)
    {
        try
        {
            await pending.ConfigureAwait(false);
            ExtentChecks.Check(node, extents, before);
        }
        finally
        {
            node.Tracker.LeaveUnranged();
        }
    }

    /// <summary>Asks for extents once a drain has ended.</summary>
    public static async ValueTask GetExtentsAsync(BlockEdge edge, BlockNode node, ExtentList extents, ExtentPrecision precision)
    {
        await node.Tracker.EnterUnrangedAsync(edge.IsUser).ConfigureAwait(false);
        try
        {
            EdgeChecks.Range(edge, node, extents.Offset, extents.Length);
            var before = extents.End;
            await node.GetExtentsAsync(extents, precision).ConfigureAwait(false);
            ExtentChecks.Check(node, extents, before);
        }
        finally
        {
            node.Tracker.LeaveUnranged();
        }
    }

    /// <summary>Copies in the kernel, where the node can and takes the range as it is.</summary>
    public static async ValueTask<long> CopyRangeAsync(
        BlockEdge edge, BlockNode node, long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        EdgeChecks.WriteRange(edge, node, offset, length);
        if (length == 0 || node is not ICopyRangeTarget target)
        {
            return 0;
        }

        if (sourceOffset < 0 || sourceOffset > source.Length - length)
        {
            throw new BlockException(
                ErrorCode.OutOfRange, $"The range {sourceOffset}+{length} lies outside of {source.Length} bytes.", source.Name, sourceOffset);
        }

        if (Alignment.NeedsLease(node, offset, length) || (sourceOffset & (source.Limits.RequestAlignment - 1L)) != 0)
        {
            return 0;
        }

        var read = source.Tracker.TryEnter() ? null : await source.Tracker
            .EnterAsync(sourceOffset, sourceOffset + length, isUser: false).ConfigureAwait(false);
        try
        {
            var entry = node.Tracker.TryEnter() ? null : await EnterAsync(edge, node, offset, length).ConfigureAwait(false);
            var changed = length; // unless it ends well
            try
            {
                EdgeChecks.WriteRange(edge, node, offset, length);
                return changed = await target.CopyRangeAsync(offset, source, sourceOffset, length, mode).ConfigureAwait(false);
            }
            finally
            {
                node.MarkChanged(offset, changed);
                node.Tracker.Leave(entry);
            }
        }
        finally
        {
            source.Tracker.Leave(read);
        }
    }

    /// <summary>
    /// Changes the length; one change at a time. What lies beyond the new end, and a last block that is not whole, are leased
    /// meanwhile.
    /// </summary>
    public static async ValueTask ResizeAsync(BlockEdge edge, BlockNode node, long length, Preallocation preallocation)
    {
        await EnterUnrangedAsync(edge, node).ConfigureAwait(false);
        try
        {
            await node.ResizeLock.WaitAsync().ConfigureAwait(false);
            RequestEntry? lease = null;
            try
            {
                var old = node.Length;
                var block = node.Limits.RequestAlignment;
                if (length < old || old % block != 0)
                {
                    lease = await node.Tracker
                        .EnterLeaseAsync(Alignment.Down(Math.Min(length, old), block), long.MaxValue, isUser: false).ConfigureAwait(false);
                }

                node.Bitmaps?.CheckResize(length);
                node.Bitmaps?.Resize(length, growsOnly: true); // before a write beyond the old end can come
                await node.ResizeAsync(length, preallocation).ConfigureAwait(false);
            }
            finally
            {
                if (lease is not null)
                {
                    node.Tracker.Leave(lease);
                }

                node.Flushes.MarkWritten();
                node.Bitmaps?.Resize(node.Length);
                node.ResizeLock.Release();
            }
        }
        finally
        {
            node.Tracker.LeaveUnranged();
        }
    }

    /// <summary>Takes a lease on a range, which is widened to whole blocks.</summary>
    public static async ValueTask<RangeLease> LockRangeAsync(BlockEdge edge, BlockNode node, long offset, long length)
    {
        var entry = await EnterLeaseAsync(edge, node, offset, length).ConfigureAwait(false);
        return new RangeLease(edge, node, entry);
    }

    private static ValueTask<RequestEntry?> EnterAsync(BlockEdge edge, BlockNode node, long offset, long length) =>
        node.Tracker.EnterAsync(offset, offset + length, edge.IsUser);

    /// <summary>The first byte that a write's lease covers: where it moves an end of the node within a block, that block.</summary>
    public static long FirstByteToLease(BlockNode node, long offset, long length)
    {
        var block = node.Limits.RequestAlignment;
        var nodeLength = node.Length;
        return Alignment.Down(offset + length > nodeLength && nodeLength % block != 0 ? Math.Min(offset, nodeLength) : offset, block);
    }

    /// <summary>Enters a write; one that must exclude others from its blocks holds a lease on them.</summary>
    private static async ValueTask<RequestEntry?> EnterWriteAsync(BlockEdge edge, BlockNode node, long offset, long length)
    {
        while (true)
        {
            if (Alignment.NeedsLease(node, offset, length))
            {
                var first = FirstByteToLease(node, offset, length);
                return await EnterLeaseAsync(edge, node, first, offset + length - first).ConfigureAwait(false);
            }

            var entry = node.Tracker.TryEnter() ? null : await EnterAsync(edge, node, offset, length).ConfigureAwait(false);
            if (!Alignment.NeedsLease(node, offset, length))
            {
                return entry;
            }

            node.Tracker.Leave(entry); // the node's end has moved meanwhile
        }
    }

    private static ValueTask<RequestEntry> EnterLeaseAsync(BlockEdge edge, BlockNode node, long offset, long length)
    {
        var block = node.Limits.RequestAlignment;
        var end = length > long.MaxValue - offset ? long.MaxValue : offset + length;
        return node.Tracker.EnterLeaseAsync(Alignment.Down(offset, block), Alignment.Up(end, block), edge.IsUser);
    }

    private static ValueTask EnterUnrangedAsync(BlockEdge edge, BlockNode node) =>
        node.Tracker.TryEnterUnranged() ? default : node.Tracker.EnterUnrangedAsync(edge.IsUser);
}
