using Byre.Graph;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>
/// What an NBD server says of a range in two words: whether it occupies space, and whether it reads as zeroes. What is a hole
/// and not zero counts as not there for those who ask what is allocated; its bytes are the server's all the same.
/// </summary>
internal static class ServerHoles
{
    /// <summary>A layer's extents come from a server.</summary>
    /// <param name="layer">The layer's node.</param>
    public static bool AreIn(BlockNode layer) => BackingChain.SkipFilters(layer) is NbdNode;

    /// <summary>An extent of such a layer is a hole and not zero.</summary>
    public static bool IsOne(in BlockExtent extent) => extent.State == ExtentState.Data && extent.IsHole;
}
