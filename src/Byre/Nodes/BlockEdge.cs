using Perm = Byre.Nodes.Permissions;

namespace Byre.Nodes;

/// <summary>
/// The link from a parent (or a user) to a node, through which all I/O goes. Checks ranges and permissions, splits,
/// aligns, emulates, and counts requests in flight.
/// </summary>
public sealed class BlockEdge : IAsyncDisposable
{
    private int disposed;

    /// <summary>
    /// Links to a node, which lives as long as an edge leads to it. The permissions hold as given: they are not weighed
    /// against those of the node's other users until a graph does so.
    /// </summary>
    public BlockEdge(BlockNode node, ChildRole role, PermissionSet permissions, string name = "root")
    {
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

    /// <summary>Reads; fills the whole buffer.</summary>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        CheckRange(offset, buffer.Length);
        return buffer.IsEmpty ? default : Node.ReadAsync(offset, buffer);
    }

    /// <summary>Writes.</summary>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags = WriteFlags.None)
    {
        CheckWritable(offset, flags);
        CheckRange(offset, data.Length);
        return data.IsEmpty ? default : Node.WriteAsync(offset, data, flags);
    }

    /// <summary>Makes a range read as zeroes, in the cheapest truthful way.</summary>
    public async ValueTask WriteZeroesAsync(long offset, long length, WriteFlags flags = WriteFlags.None)
    {
        CheckWritable(offset, flags);
        CheckRange(offset, length);
        if (length == 0 || await Node.TryWriteZeroesAsync(offset, length, flags).ConfigureAwait(false))
        {
            return;
        }

        if ((flags & WriteFlags.NoFallback) != 0)
        {
            throw new BlockException(ErrorCode.NotSupported, "Zeroes cannot be written without writing data.", Node.Name, offset);
        }

        var zeroes = new byte[Math.Min(length, 1 << 20)];
        for (long at = 0; at < length; at += zeroes.Length)
        {
            var n = (int)Math.Min(zeroes.Length, length - at);
            await Node.WriteAsync(offset + at, zeroes.AsMemory(0, n), flags & ~WriteFlags.MayUnmap).ConfigureAwait(false);
        }
    }

    /// <summary>Gives space back.</summary>
    public ValueTask DiscardAsync(long offset, long length)
    {
        CheckWritable(offset, WriteFlags.None);
        CheckRange(offset, length);
        return length == 0 ? default : Node.DiscardAsync(offset, length);
    }

    /// <summary>Everything written before is on stable storage when the task completes.</summary>
    public async ValueTask FlushAsync()
    {
        await Node.WriteBackAsync().ConfigureAwait(false);
        await Node.SyncAsync().ConfigureAwait(false);
    }

    /// <summary>Asks the node what its own layer says of the range in <paramref name="extents"/>.</summary>
    public ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        CheckRange(extents.Offset, extents.Length);
        return Node.GetExtentsAsync(extents, precision);
    }

    /// <summary>Changes the child's length.</summary>
    /// <param name="length">The new length in bytes, at least 0.</param>
    /// <param name="preallocation">What is allocated of a grown range.</param>
    public ValueTask ResizeAsync(long length, Preallocation preallocation = Preallocation.Off)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Check(Perm.Resize, null);
        return Node.ResizeAsync(length, preallocation);
    }

    /// <summary>
    /// Copies bytes from a host file without passing them through this program (reflink or copy_file_range).
    /// </summary>
    /// <returns>How many bytes were copied from the front; 0 where it cannot be done: then read and write.</returns>
    public ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        ArgumentNullException.ThrowIfNull(source);
        CheckWritable(offset, WriteFlags.None);
        CheckRange(offset, length);
        return Node is ICopyRangeTarget target ? target.CopyRangeAsync(offset, source, sourceOffset, length, mode) : new(0L);
    }

    /// <summary>Tells the child that the parent reached a point that faults can hang on.</summary>
    public void DebugEvent(BlkdebugEvent debugEvent) => Node.OnDebugEvent(debugEvent);

    /// <summary>Leaves the child; a child that nobody uses any more is closed. A second call does nothing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 0 && Node.RemoveParent(this))
        {
            await Node.DisposeAsync().ConfigureAwait(false);
        }
    }

    private void CheckRange(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref disposed) != 0, this);
        if ((offset | length) < 0 || offset > Node.Length - length)
        {
            throw new BlockException(
                ErrorCode.OutOfRange, $"The range {offset}+{length} lies outside of {Node.Length} bytes.", Node.Name, offset);
        }
    }

    private void CheckWritable(long offset, WriteFlags flags) =>
        Check((flags & WriteFlags.Unchanged) != 0 ? Perm.Write | Perm.WriteUnchanged : Perm.Write, offset);

    private void Check(Perm oneOf, long? offset)
    {
        if (Node.IsReadOnly)
        {
            throw new BlockException(ErrorCode.ReadOnly, "The image is opened read-only.", Node.Name, offset);
        }

        if ((Permissions.Used & oneOf) == 0)
        {
            throw new BlockException(
                ErrorCode.NotPermitted, $"The '{Name}' edge has no permission to {(oneOf == Perm.Resize ? "resize" : "write")}.", Node.Name, offset);
        }
    }
}
