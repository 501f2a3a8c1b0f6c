using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>An image that is open, for one user. Disposing it closes the image and what only it uses.</summary>
public sealed class OpenImage : IAsyncDisposable
{
    internal OpenImage(BlockGraph graph, BlockEdge edge, bool formatWasProbed)
    {
        Graph = graph;
        Edge = edge;
        FormatWasProbed = formatWasProbed;
    }

    /// <summary>The graph it is part of.</summary>
    public BlockGraph Graph { get; }

    /// <summary>The user's edge, through which all I/O goes.</summary>
    public BlockEdge Edge { get; }

    /// <summary>The node of the image.</summary>
    public BlockNode Node => Edge.Node;

    /// <summary>The name of its format, or of the protocol where it was opened without a format.</summary>
    public string FormatName => Node.DriverName;

    /// <summary>Nobody named the format: it was told by the image's first bytes.</summary>
    public bool FormatWasProbed { get; }

    /// <summary>Writing is refused.</summary>
    public bool IsReadOnly => Node.IsReadOnly;

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Edge.DisposeAsync();
}
