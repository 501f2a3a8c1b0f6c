using Byre.Nodes;

namespace Byre.Blockdev.Open;

/// <summary>Makes nodes of one driver out of options.</summary>
internal interface IBlockDriver
{
    /// <summary>The driver's name in options.</summary>
    string Name { get; }

    /// <summary>It is a format: its node lies on a child "file", which is open already.</summary>
    bool IsFormat { get; }

    /// <summary>Opens the node; takes every option it knows, and checks that none is left.</summary>
    /// <returns>A node that nobody uses yet.</returns>
    ValueTask<BlockNode> OpenAsync(NodeOpening opening);
}
