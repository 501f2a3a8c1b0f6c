using Byre.Blockdev.Open;
using Byre.Filters;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "blkverify": compares an image with a raw copy.</summary>
internal sealed class BlkverifyDriver : IBlockDriver
{
    /// <inheritdoc/>
    public string Name => "blkverify";

    /// <inheritdoc/>
    public bool IsFormat => false;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var raw = await opening.OpenChildAsync(
            "raw", ChildRole.Filtered | ChildRole.Primary, wantsImage: false, new BackingLoopGuard()).ConfigureAwait(false);
        var test = await opening.OpenChildAsync("test", ChildRole.Data, wantsImage: true, opening.Guard).ConfigureAwait(false);
        opening.Options.CheckEmpty(Name);
        return opening.Finish(new BlkverifyNode(test, raw));
    }
}
