using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// The base of filters: nodes with one child of the same length and content. All requests go to the child; a filter
/// overrides what it does something about. It is named as what stores the data, so that who copies by extents does not go
/// around it.
/// </summary>
public abstract class FilterNode : BlockNode
{
    private readonly BlockEdge[] children;

    /// <summary>Makes a filter, which owns the edge from now on.</summary>
    protected FilterNode(BlockEdge image)
    {
        ArgumentNullException.ThrowIfNull(image);
        Image = image;
        children = [image];
        image.Parent = this;
    }

    /// <inheritdoc/>
    public override long Length => Image.Length;

    /// <inheritdoc/>
    public override bool IsReadOnly => Image.Node.IsReadOnly;

    /// <inheritdoc/>
    public override bool GrowsOnWrite => Image.Node.GrowsOnWrite;

    /// <inheritdoc/>
    public override BlockLimits Limits => Image.Node.Limits;

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags => Image.Node.SupportedWriteFlags;

    /// <summary>The edge to the child.</summary>
    protected BlockEdge Image { get; }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => Image.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) =>
        Image.WriteAsync(offset, data, flags);

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        try
        {
            await Image.WriteZeroesAsync(offset, length, flags | WriteFlags.NoFallback).ConfigureAwait(false);
            return true;
        }
        catch (BlockException unsupported) when (unsupported.Code == ErrorCode.NotSupported)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length) => Image.DiscardAsync(offset, length);

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        return FilterExtents.GetAsync(this, Image, extents, precision);
    }

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation) => Image.ResizeAsync(length, preallocation);
}
