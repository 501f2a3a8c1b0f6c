using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>
/// Tells whether a format's image has its clusters mapped before they were written, by comparing what is mapped with what the
/// file occupies. Only then is it worth asking the file whether a mapped cluster is a hole, as QEMU does too.
/// </summary>
internal static class PreallocationProbe
{
    private const int Batch = 1024;

    /// <summary>The precision to ask a chain with.</summary>
    public static async ValueTask<ExtentPrecision> PrecisionForAsync(BackingChain chain)
    {
        foreach (var layer in chain.Layers)
        {
            if (await IsPreallocatedAsync(layer).ConfigureAwait(false))
            {
                return ExtentPrecision.Exact;
            }
        }

        return ExtentPrecision.Layer;
    }

    private static async ValueTask<bool> IsPreallocatedAsync(BlockEdge layer)
    {
        if (BackingChain.SkipFilters(layer.Node) is RawNode or FileNode)
        {
            return false;
        }

        var mapped = 0L;
        FileNode? file = null;
        var extents = new ExtentList();
        for (var at = 0L; at < layer.Length;)
        {
            extents.Reset(at, layer.Length - at, Batch);
            await layer.GetExtentsAsync(extents, ExtentPrecision.Layer).ConfigureAwait(false);
            foreach (var extent in extents.Items)
            {
                if (extent.State == ExtentState.Data && extent.HostOffset >= 0)
                {
                    mapped += extent.Length;
                    file ??= FileOf(extent.HostNode);
                }
            }

            at = extents.End;
        }

        var occupied = file?.AllocatedBytes ?? long.MaxValue;
        return mapped > occupied + (occupied / 9);
    }

    private static FileNode? FileOf(BlockNode? node)
    {
        while (node is not null and not FileNode)
        {
            node = node.PrimaryChild?.Node;
        }

        return node as FileNode;
    }
}
