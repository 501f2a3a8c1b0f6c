using Byre.Blockdev.Open;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "blkdebug": injects errors and stops requests.</summary>
internal sealed class BlkdebugDriver : IBlockDriver
{
    /// <inheritdoc/>
    public string Name => "blkdebug";

    /// <inheritdoc/>
    public bool IsFormat => false;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var options = BlkdebugOptionReader.Read(opening.Options.Rest) with
        {
            Given = opening.Options.AsJson(BlkdebugOptionReader.Decides),
        };
        var image = await opening.OpenChildAsync("image", ChildRole.Filtered | ChildRole.Primary, wantsImage: false, opening.Guard).ConfigureAwait(false);
        return opening.Finish(new BlkdebugNode(image, options));
    }
}
