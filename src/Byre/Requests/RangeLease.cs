using Byre.Nodes;

namespace Byre.Requests;

/// <summary>
/// The exclusive use of a range of a node: no other request that overlaps it runs until it is disposed. The holder's own
/// requests in the range go through the lease; those sent through an edge would wait for it for ever.
/// </summary>
/// <remarks>
/// A holder that needs a second lease on the same node while it has one must take them in ascending order. A driver takes
/// leases on its children, never on itself: its own request is in flight there, and the lease would wait for it.
/// </remarks>
public sealed class RangeLease : IAsyncDisposable
{
    private readonly RequestTracker tracker;
    private readonly RequestEntry entry;
    private readonly SemaphoreSlim readModifyWrite = new(1, 1); // two of the holder's writes may meet in one block
    private int disposed;

    internal RangeLease(BlockEdge edge, BlockNode node, RequestEntry entry)
    {
        Edge = edge;
        Node = node;
        tracker = node.Tracker;
        this.entry = entry;
    }

    /// <summary>The edge it was taken through.</summary>
    public BlockEdge Edge { get; }

    /// <summary>First byte, rounded down to the node's request alignment.</summary>
    public long Offset => entry.Start;

    /// <summary>Length in bytes; the end is rounded up to the node's request alignment.</summary>
    public long Length => entry.End - entry.Start;

    /// <summary>The node whose range it is.</summary>
    internal BlockNode Node { get; }

    /// <summary>Reads inside the lease; fills the whole buffer.</summary>
    /// <param name="offset">First byte, in the node.</param>
    /// <param name="buffer">Filled.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.OutOfRange"/> outside of the lease or the node.</exception>
    public async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        Check(offset, buffer.Length);
        if (!buffer.IsEmpty)
        {
            await AlignedReads.ReadAsync(Node, offset, buffer).ConfigureAwait(false);
        }
    }

    /// <summary>Writes inside the lease.</summary>
    /// <param name="offset">First byte, in the node.</param>
    /// <param name="data">The bytes; valid until the task completes.</param>
    /// <param name="flags">As for <see cref="BlockEdge.WriteAsync"/>.</param>
    public async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags = WriteFlags.None)
    {
        EdgeChecks.Writable(Edge, Node, offset, flags);
        CheckWrite(offset, data.Length);
        if (data.IsEmpty)
        {
            return;
        }

        if (!Alignment.NeedsLease(Node, offset, data.Length))
        {
            await AlignedWrites.WriteAsync(Node, offset, data, flags).ConfigureAwait(false);
            return;
        }

        await readModifyWrite.WaitAsync().ConfigureAwait(false);
        try
        {
            await AlignedWrites.WriteAsync(Node, offset, data, flags).ConfigureAwait(false);
        }
        finally
        {
            readModifyWrite.Release();
        }
    }

    /// <summary>Makes a range inside the lease read as zeroes.</summary>
    /// <param name="offset">First byte, in the node.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="flags">As for <see cref="BlockEdge.WriteZeroesAsync"/>.</param>
    public async ValueTask WriteZeroesAsync(long offset, long length, WriteFlags flags = WriteFlags.None)
    {
        EdgeChecks.Writable(Edge, Node, offset, flags);
        CheckWrite(offset, length);
        if (length == 0)
        {
            return;
        }

        await readModifyWrite.WaitAsync().ConfigureAwait(false);
        try
        {
            await ZeroRequests.WriteZeroesAsync(Node, offset, length, flags).ConfigureAwait(false);
        }
        finally
        {
            readModifyWrite.Release();
        }
    }

    /// <summary>Gives space inside the lease back.</summary>
    /// <param name="offset">First byte, in the node.</param>
    /// <param name="length">Bytes.</param>
    public async ValueTask DiscardAsync(long offset, long length)
    {
        EdgeChecks.Writable(Edge, Node, offset, WriteFlags.None);
        Check(offset, length);
        await DiscardRequests.DiscardAsync(Node, offset, length).ConfigureAwait(false);
    }

    /// <summary>Gives the range free.</summary>
    public ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 0)
        {
            tracker.Leave(entry);
            readModifyWrite.Dispose();
        }

        return default;
    }

    private void Check(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref disposed) != 0, this);
        EdgeChecks.Range(Edge, Node, offset, length);
        CheckInside(offset, offset, length);
    }

    private void CheckWrite(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref disposed) != 0, this);
        EdgeChecks.WriteRange(Edge, Node, offset, length);
        CheckInside(Math.Min(offset, EdgeRequests.FirstByteToLease(Node, offset, length)), offset, length);
    }

    private void CheckInside(long first, long offset, long length)
    {
        if (first < entry.Start || offset + length > entry.End)
        {
            throw new BlockException(
                ErrorCode.OutOfRange, $"The range {offset}+{length} lies outside of its lease {Offset}+{Length}.", Node.Name, offset);
        }
    }
}
