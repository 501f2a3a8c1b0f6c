using Byre.Nodes;

namespace Byre.Crash;

/// <summary>Keeps a node open while images over it are opened and closed.</summary>
internal sealed class KeptNode(BlockNode node) : IDisposable
{
    private readonly BlockEdge edge = new(node, ChildRole.None, PermissionSet.Nothing);

    public void Dispose() => edge.DisposeAsync().AsTask().GetAwaiter().GetResult();
}
