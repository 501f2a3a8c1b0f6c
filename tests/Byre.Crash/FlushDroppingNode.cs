using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash;

/// <summary>A filter that says that it flushed, and did not: what stands on it cannot keep its promise.</summary>
internal sealed class FlushDroppingNode(BlockNode below) : FilterNode(
    new BlockEdge(below, ChildRole.Filtered | ChildRole.Primary, new(Permissions.All, Permissions.All), "file"))
{
    public override string DriverName => "flush-dropping";

    public override ValueTask SyncAsync() => default;
}
