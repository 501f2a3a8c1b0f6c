using Byre.Filters;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>The image that commands work on.</summary>
internal sealed class IoImage : IAsyncDisposable
{
    private readonly Func<ValueTask>? cleanUp;

    /// <summary>Takes the edge over.</summary>
    /// <param name="edge">The edge to the image.</param>
    /// <param name="request">How it was opened.</param>
    /// <param name="cleanUp">What is to be done after it is closed, or null.</param>
    public IoImage(BlockEdge edge, IoOpenRequest request, Func<ValueTask>? cleanUp = null)
    {
        Edge = edge;
        Request = request;
        this.cleanUp = cleanUp;
        Blkdebug = FindBlkdebug(edge.Node);
    }

    /// <summary>The edge to the image.</summary>
    public BlockEdge Edge { get; }

    /// <summary>How it was opened.</summary>
    public IoOpenRequest Request { get; set; }

    /// <summary>The blkdebug node that breakpoints are for, or null.</summary>
    public BlkdebugNode? Blkdebug { get; }

    /// <summary>Writing is refused.</summary>
    public bool IsReadOnly => Request.ReadOnly || Edge.Node.IsReadOnly;

    /// <summary>What every write is to do besides what a command asks for.</summary>
    public WriteFlags WriteFlags => Request.WritesThrough ? WriteFlags.Fua : WriteFlags.None;

    /// <summary>Writes inside of the image; never makes it longer, as its node may do by itself.</summary>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) =>
        Beyond(offset, data.Length) is { } e ? ValueTask.FromException(e) : Edge.WriteAsync(offset, data, flags | WriteFlags);

    /// <summary>Makes a range inside of the image read as zeroes.</summary>
    public ValueTask WriteZeroesAsync(long offset, long length, WriteFlags flags) =>
        Beyond(offset, length) is { } e ? ValueTask.FromException(e) : Edge.WriteZeroesAsync(offset, length, flags | WriteFlags);

    /// <summary>All nodes of the image's tree, the image first.</summary>
    public IEnumerable<BlockNode> Nodes() => Walk(Edge.Node);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Blkdebug?.ResumeAll();
        try
        {
            await Edge.DisposeAsync().ConfigureAwait(false);
        }
        finally
        {
            if (cleanUp is not null)
            {
                await cleanUp().ConfigureAwait(false);
            }
        }
    }

    private BlockException? Beyond(long offset, long length) => offset <= Edge.Length - length ? null : new BlockException(
        ErrorCode.OutOfRange, $"The range {offset}+{length} lies outside of {Edge.Length} bytes.", Edge.Node.Name, offset);

    private static IEnumerable<BlockNode> Walk(BlockNode node)
    {
        yield return node;
        foreach (var child in node.Children)
        {
            foreach (var below in Walk(child.Node))
            {
                yield return below;
            }
        }
    }

    private static BlkdebugNode? FindBlkdebug(BlockNode? node)
    {
        for (; node is not null; node = node.PrimaryChild?.Node)
        {
            if (node is BlkdebugNode found)
            {
                return found;
            }
        }

        return null;
    }
}
