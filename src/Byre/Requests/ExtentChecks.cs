using System.Diagnostics;
using Byre.Nodes;

namespace Byre.Requests;

/// <summary>Checks in debug builds that a driver answers a question for extents by the rules.</summary>
internal static class ExtentChecks
{
    /// <summary>Throws where the driver broke a rule in what it added behind <paramref name="before"/>.</summary>
    [Conditional("DEBUG")]
    public static void Check(BlockNode node, ExtentList extents, long before)
    {
        if (extents.End <= before && !extents.IsFull)
        {
            throw Broken(node, "added nothing");
        }

        foreach (ref readonly var extent in extents.Items)
        {
            if (extent.End <= before)
            {
                continue;
            }

            if (extent.HostOffset >= 0 != extent.HostNode is not null)
            {
                throw Broken(node, "gave a host offset without a node, or a node without an offset", extent);
            }

            if (extent.HostOffset >= 0 && (extent.Flags & ExtentFlags.Compressed) != 0)
            {
                throw Broken(node, "gave a host offset for compressed bytes", extent);
            }

            if (extent.State > ExtentState.Data || extent.Depth < 0)
            {
                throw Broken(node, "gave a state or a depth that does not exist", extent);
            }
        }
    }

    private static InvalidOperationException Broken(BlockNode node, string what, BlockExtent? extent = null) =>
        new($"The {node.DriverName} driver {what} in its answer for extents. {extent}");
}
