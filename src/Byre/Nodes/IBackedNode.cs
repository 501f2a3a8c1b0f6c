namespace Byre.Nodes;

/// <summary>A node that may have a backing layer below it.</summary>
public interface IBackedNode
{
    /// <summary>The edge to the backing node, or null where none is opened.</summary>
    BlockEdge? Backing { get; }

    /// <summary>The backing file name as the image says it, or null.</summary>
    string? BackingFileName { get; }

    /// <summary>The backing format as the image says it, or null.</summary>
    string? BackingFormat { get; }
}
