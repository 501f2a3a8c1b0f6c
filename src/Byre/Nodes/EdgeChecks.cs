using System.Runtime.CompilerServices;
using Perm = Byre.Nodes.Permissions;

namespace Byre.Nodes;

/// <summary>What every request through an edge is held against: the edge is alive, the node long enough, the change allowed.</summary>
internal static class EdgeChecks
{
    /// <summary>Throws unless the range lies in the node and the edge is alive.</summary>
    /// <param name="edge">The edge.</param>
    /// <param name="node">The node it leads to.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <exception cref="ObjectDisposedException">The edge was disposed.</exception>
    /// <exception cref="BlockException"><see cref="ErrorCode.OutOfRange"/>.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Range(BlockEdge edge, BlockNode node, long offset, long length)
    {
        if (edge.IsDisposed | (offset | length) < 0 || offset > node.Length - length)
        {
            ThrowRange(edge, node, offset, length);
        }
    }

    /// <summary>
    /// As <see cref="Range"/>, but a range beyond the end is right too where the node grows when it is written and the edge may
    /// resize it.
    /// </summary>
    /// <param name="edge">The edge.</param>
    /// <param name="node">The node it leads to.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <exception cref="ObjectDisposedException">The edge was disposed.</exception>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.OutOfRange"/>; <see cref="ErrorCode.NoSpace"/> where the edge of a parent may resize a node that does not
    /// grow: so a format learns that its device is full.
    /// </exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void WriteRange(BlockEdge edge, BlockNode node, long offset, long length)
    {
        if (edge.IsDisposed | (offset | length) < 0 || offset > node.Length - length)
        {
            BeyondEnd(edge, node, offset, length);
        }
    }

    /// <summary>Throws unless node and edge allow a write with these flags.</summary>
    /// <param name="edge">The edge.</param>
    /// <param name="node">The node it leads to.</param>
    /// <param name="offset">First byte, for the error.</param>
    /// <param name="flags">The request's flags.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.ReadOnly"/> or <see cref="ErrorCode.NotPermitted"/>.</exception>
    internal static void Writable(BlockEdge edge, BlockNode node, long offset, WriteFlags flags) =>
        Permitted(edge, node, (flags & WriteFlags.Unchanged) != 0 ? Perm.Write | Perm.WriteUnchanged : Perm.Write, offset);

    /// <summary>Throws unless node and edge allow a change of the length.</summary>
    /// <param name="edge">The edge.</param>
    /// <param name="node">The node it leads to.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.ReadOnly"/> or <see cref="ErrorCode.NotPermitted"/>.</exception>
    internal static void Resizable(BlockEdge edge, BlockNode node) => Permitted(edge, node, Perm.Resize, null);

    private static void Permitted(BlockEdge edge, BlockNode node, Perm oneOf, long? offset)
    {
        if (node.IsReadOnly)
        {
            throw new BlockException(ErrorCode.ReadOnly, "The image is opened read-only.", node.Name, offset);
        }

        if ((edge.Permissions.Used & oneOf) == 0)
        {
            var what = oneOf == Perm.Resize ? "resize" : "write";
            throw new BlockException(ErrorCode.NotPermitted, $"The '{edge.Name}' edge has no permission to {what}.", node.Name, offset);
        }
    }

    private static void BeyondEnd(BlockEdge edge, BlockNode node, long offset, long length)
    {
        if (edge.IsDisposed || (offset | length) < 0 || offset > long.MaxValue - length
            || (edge.Permissions.Used & Perm.Resize) == 0)
        {
            ThrowRange(edge, node, offset, length);
        }

        if (!node.GrowsOnWrite)
        {
            if (edge.Role == ChildRole.None)
            {
                ThrowRange(edge, node, offset, length); // a user's mistake, where a format has run out of space
            }

            throw new BlockException(
                ErrorCode.NoSpace, $"No space left on device: {offset}+{length} lies behind its end at {node.Length}", node.Name, offset);
        }
    }

    private static void ThrowRange(BlockEdge edge, BlockNode node, long offset, long length)
    {
        ObjectDisposedException.ThrowIf(edge.IsDisposed, edge);
        throw new BlockException(
            ErrorCode.OutOfRange, $"The range {offset}+{length} lies outside of {node.Length} bytes.", node.Name, offset);
    }
}
