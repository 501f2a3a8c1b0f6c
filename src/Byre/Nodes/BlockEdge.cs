using System.Runtime.CompilerServices;
using Byre.Graph;
using Byre.Requests;
using Perm = Byre.Nodes.Permissions;

namespace Byre.Nodes;

/// <summary>
/// The link from a parent (or a user) to a node, through which all I/O goes. Checks ranges and permissions, splits,
/// aligns, emulates, and counts requests in flight. All members may be called at the same time from several threads.
/// </summary>
/// <remarks>
/// Failures are <see cref="BlockException"/>s in the returned task: <see cref="ErrorCode.OutOfRange"/> for a range outside
/// of the node (<see cref="ErrorCode.NoSpace"/> for a write behind the end by a parent that may resize a node that does not grow),
/// <see cref="ErrorCode.ReadOnly"/> and <see cref="ErrorCode.NotPermitted"/> for changes that the node or the
/// edge does not allow, and whatever the driver reports. Empty ranges inside the node succeed and do nothing.
/// </remarks>
public sealed class BlockEdge : IAsyncDisposable
{
    private int disposed;

    /// <summary>
    /// Links to a node, which lives as long as an edge leads to it. The permissions hold as given: they are not weighed
    /// against those of the node's other users until a graph does so
    /// (<see cref="BlockGraph.AttachAsync"/>, which is how programs get their edges).
    /// </summary>
    public BlockEdge(BlockNode node, ChildRole role, PermissionSet permissions, string name = "root")
    {
        ArgumentNullException.ThrowIfNull(node);
        Node = node;
        Role = role;
        Permissions = permissions;
        Name = name;
        node.AddParent(this);
    }

    /// <summary>The child node.</summary>
    public BlockNode Node { get; internal set; }

    /// <summary>The parent node, or null for a user outside the graph.</summary>
    public BlockNode? Parent { get; internal set; }

    /// <summary>The edge's name among its parent's children: "file", "backing", "data-file".</summary>
    public string Name { get; }

    /// <summary>What the child is to the parent.</summary>
    public ChildRole Role { get; }

    /// <summary>What the parent uses and shares.</summary>
    public PermissionSet Permissions { get; internal set; }

    /// <summary>The child's length in bytes.</summary>
    public long Length => Node.Length;

    /// <summary>A user outside the graph has it: drains hold its requests back.</summary>
    internal bool IsUser => Parent is null;

    /// <summary>Nothing goes through the edge any more.</summary>
    internal bool IsDisposed => Volatile.Read(ref disposed) != 0;

    /// <summary>Reads; fills the whole buffer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="buffer">Filled; not to be touched until the task completes.</param>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var node = Node;
        if (IsDisposed || !Alignment.Accepts(node.Limits, offset, buffer) || buffer.IsEmpty || !node.Tracker.TryEnter())
        {
            return SlowReadAsync(node, offset, buffer);
        }

        ValueTask pending;
        try
        {
            EdgeChecks.Range(this, node, offset, buffer.Length);
            pending = node.ReadAsync(offset, buffer);
        }
        catch (Exception e)
        {
            node.Tracker.Leave();
            return ValueTask.FromException(e);
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return EdgeRequests.FinishReadAsync(node, pending);
        }

        pending.GetAwaiter().GetResult();
        node.Tracker.Leave();
        return default;
    }

    /// <summary>
    /// Writes. Beyond the end it extends a node that grows when it is written (<see cref="BlockNode.GrowsOnWrite"/>), if the
    /// edge may resize it.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Not to be changed until the task completes.</param>
    /// <param name="flags">Of Fua, Unchanged and Compressed; MayUnmap and NoFallback mean nothing here.</param>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags = WriteFlags.None)
    {
        var node = Node;
        flags &= ~(WriteFlags.MayUnmap | WriteFlags.NoFallback);
        if (node.ZeroDetection != ZeroDetection.Off && ZeroRequests.AreZeroes(data.Span, flags))
        {
            return WriteZeroesAsync(offset, data.Length, flags | ZeroRequests.UnmapFlag(node));
        }

        if (IsDisposed || !Alignment.Accepts(node.Limits, offset, data) || data.IsEmpty || !MayWrite(node, flags)
            || (flags & ~(node.SupportedWriteFlags | WriteFlags.Unchanged)) != 0 || !node.Tracker.TryEnter())
        {
            return SlowWriteAsync(node, offset, data, flags);
        }

        ValueTask pending;
        try
        {
            EdgeChecks.WriteRange(this, node, offset, data.Length);
            node.OnDebugEvent(BlkdebugEvent.Pwritev);
            pending = node.WriteAsync(offset, data, flags);
        }
        catch (Exception e)
        {
            node.MarkChanged(offset, data.Length);
            node.Tracker.Leave();
            return ValueTask.FromException(e);
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return EdgeRequests.FinishWriteAsync(node, pending, offset, data.Length);
        }

        pending.GetAwaiter().GetResult();
        node.MarkChanged(offset, data.Length);
        node.OnDebugEvent(BlkdebugEvent.PwritevDone);
        node.Tracker.Leave();
        return default;
    }

    /// <summary>Makes a range read as zeroes, in the cheapest truthful way. Beyond the end: as <see cref="WriteAsync"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="flags">Of Fua, MayUnmap, NoFallback and Unchanged.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotSupported"/> with NoFallback, where zeroes would have to be written as data.
    /// </exception>
    public ValueTask WriteZeroesAsync(long offset, long length, WriteFlags flags = WriteFlags.None)
    {
        var node = Node;
        try
        {
            EdgeChecks.Writable(this, node, offset, flags);
            EdgeChecks.WriteRange(this, node, offset, length);
        }
        catch (BlockException e)
        {
            return ValueTask.FromException(e);
        }

        flags &= node.IgnoresDiscards ? ~WriteFlags.MayUnmap : ~WriteFlags.None;
        return length == 0 ? default : EdgeRequests.WriteZeroesAsync(this, node, offset, length, flags);
    }

    /// <summary>
    /// Gives space back: the whole units (<see cref="BlockLimits.DiscardAlignment"/>) inside the range. What they read as
    /// afterwards is the driver's affair.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    public ValueTask DiscardAsync(long offset, long length)
    {
        var node = Node;
        try
        {
            EdgeChecks.Writable(this, node, offset, WriteFlags.None);
            EdgeChecks.Range(this, node, offset, length);
        }
        catch (BlockException e)
        {
            return ValueTask.FromException(e);
        }

        return length == 0 || node.IgnoresDiscards ? default : EdgeRequests.DiscardAsync(this, node, offset, length);
    }

    /// <summary>
    /// Everything written before is on stable storage when the task completes. Costs nothing where nothing was written since
    /// the last flush; flushes that come at the same time share one.
    /// </summary>
    public ValueTask FlushAsync()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var node = Node;
        return node.IsReadOnly ? default : EdgeRequests.FlushAsync(this, node);
    }

    /// <summary>Asks the node what its own layer says of the range in <paramref name="extents"/>.</summary>
    /// <param name="extents">The question, and the answer.</param>
    /// <param name="precision">How hard the node looks.</param>
    public ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var node = Node;
        if (!node.Tracker.TryEnterUnranged())
        {
            return EdgeRequests.GetExtentsAsync(this, node, extents, precision);
        }

        var before = extents.End;
        ValueTask pending;
        try
        {
            EdgeChecks.Range(this, node, extents.Offset, extents.Length);
            pending = node.GetExtentsAsync(extents, precision);
            if (pending.IsCompletedSuccessfully)
            {
                pending.GetAwaiter().GetResult();
                ExtentChecks.Check(node, extents, before);
                node.Tracker.LeaveUnranged();
                return default;
            }
        }
        catch (Exception e)
        {
            node.Tracker.LeaveUnranged();
            return ValueTask.FromException(e);
        }

        return EdgeRequests.FinishExtentsAsync(node, pending, extents, before);
    }

    /// <summary>Changes the child's length. Requests beyond a new, lower end are waited for.</summary>
    /// <param name="length">The new length in bytes, at least 0.</param>
    /// <param name="preallocation">What is allocated of a grown range.</param>
    public ValueTask ResizeAsync(long length, Preallocation preallocation = Preallocation.Off)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var node = Node;
        try
        {
            EdgeChecks.Resizable(this, node);
        }
        catch (BlockException e)
        {
            return ValueTask.FromException(e);
        }

        return EdgeRequests.ResizeAsync(this, node, length, preallocation);
    }

    /// <summary>
    /// Copies bytes from a host file without passing them through this program (reflink or copy_file_range).
    /// </summary>
    /// <param name="offset">First byte to write.</param>
    /// <param name="source">The node that stores the bytes, as <see cref="BlockExtent.HostNode"/> names it.</param>
    /// <param name="sourceOffset">First byte to read, in <paramref name="source"/>.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mode">What is allowed.</param>
    /// <returns>How many bytes were copied from the front; 0 where it cannot be done: then read and write.</returns>
    public ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        ArgumentNullException.ThrowIfNull(source);
        var node = Node;
        try
        {
            EdgeChecks.Writable(this, node, offset, WriteFlags.None);
        }
        catch (BlockException e)
        {
            return ValueTask.FromException<long>(e);
        }

        return EdgeRequests.CopyRangeAsync(this, node, offset, source, sourceOffset, length, mode);
    }

    /// <summary>
    /// Waits until no other request is in flight in a range, and keeps others out of it until the lease is disposed. The
    /// holder's own requests go through the lease.
    /// </summary>
    /// <param name="offset">First byte, at least 0; rounded down to the node's request alignment.</param>
    /// <param name="length">Bytes, at least 1; may reach beyond the node's end.</param>
    public ValueTask<RangeLease> LockRangeAsync(long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        return EdgeRequests.LockRangeAsync(this, Node, offset, length);
    }

    /// <summary>Tells the child that the parent reached a point that faults can hang on.</summary>
    public void DebugEvent(BlkdebugEvent debugEvent) => Node.OnDebugEvent(debugEvent);

    /// <summary>Leaves the child; a child that nobody uses any more is flushed and closed. A second call does nothing.</summary>
    /// <exception cref="BlockException">The child could not be flushed or closed properly; it is closed all the same.</exception>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        var node = Node;
        if (node.Graph is { } graph)
        {
            await graph.DetachAsync(this).ConfigureAwait(false);
        }
        else if (node.RemoveParent(this))
        {
            await node.CloseAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The edge is of no use any more, and leaves its node.</summary>
    /// <returns>True if it was the last: the caller closes the node.</returns>
    internal bool LeaveNode()
    {
        Volatile.Write(ref disposed, 1);
        return Node.RemoveParent(this);
    }

    private ValueTask SlowReadAsync(BlockNode node, long offset, Memory<byte> buffer)
    {
        try
        {
            EdgeChecks.Range(this, node, offset, buffer.Length);
        }
        catch (Exception e) when (e is BlockException or ObjectDisposedException)
        {
            return ValueTask.FromException(e);
        }

        return buffer.IsEmpty ? default : EdgeRequests.ReadAsync(this, node, offset, buffer);
    }

    private ValueTask SlowWriteAsync(BlockNode node, long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        try
        {
            EdgeChecks.Writable(this, node, offset, flags);
            EdgeChecks.WriteRange(this, node, offset, data.Length);
        }
        catch (Exception e) when (e is BlockException or ObjectDisposedException)
        {
            return ValueTask.FromException(e);
        }

        return data.IsEmpty ? default : EdgeRequests.WriteAsync(this, node, offset, data, flags);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool MayWrite(BlockNode node, WriteFlags flags) =>
        (Permissions.Used & Perm.Write) != 0 && (flags & WriteFlags.Unchanged) == 0 && !node.IsReadOnly;
}
