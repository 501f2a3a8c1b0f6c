using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>Finds the layers below an image by the names that command lines have for them.</summary>
internal static class ChainLayers
{
    /// <summary>The edge to the layer below an image that a name means.</summary>
    /// <param name="top">The image.</param>
    /// <param name="name">
    /// The name as the layer above it says it, or the one it was opened by, or a path from the directory of the layer above; null
    /// for the layer right below.
    /// </param>
    /// <returns>Null where there is none.</returns>
    public static BlockEdge? Find(BlockNode top, string? name)
    {
        for (var node = top; BackingChain.BackingOf(node) is { } backing; node = backing.Node)
        {
            if (name is null || Means(name, BackingChain.SkipFilters(node), backing.Node))
            {
                return backing;
            }
        }

        return null;
    }

    /// <summary>The keys of options that lead from an image to a layer below it: "backing.backing.".</summary>
    /// <param name="top">The image.</param>
    /// <param name="layer">An edge of its chain.</param>
    public static string KeysTo(BlockNode top, BlockEdge layer)
    {
        var keys = "";
        var node = top;
        while (true)
        {
            var edge = (node as IBackedNode)?.Backing
                ?? node.Children.FirstOrDefault(c => (c.Role & ChildRole.Filtered) != 0)
                ?? throw new ImgFailure($"'{layer.Node.FileName}' is no layer of '{top.FileName}'");
            keys += edge.Name + ".";
            if (ReferenceEquals(edge, layer))
            {
                return keys;
            }

            node = edge.Node;
        }
    }

    private static bool Means(string name, BlockNode above, BlockNode below)
    {
        if (name == below.FileName || name == (above as IBackedNode)?.BackingFileName)
        {
            return true;
        }

        if (FileNames.ProtocolOf(name) is not null || below.FileName.Length == 0 || above.FileName.Length == 0)
        {
            return false;
        }

        return RealPath(FileNames.Resolve(above.FileName, name)!) == RealPath(below.FileName);
    }

    private static string RealPath(string path)
    {
        var full = Path.GetFullPath(path);
        try
        {
            return File.ResolveLinkTarget(full, returnFinalTarget: true)?.FullName ?? full;
        }
        catch (IOException)
        {
            return full;
        }
    }
}
