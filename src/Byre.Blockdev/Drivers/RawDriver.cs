using Byre.Blockdev.Open;
using Byre.Formats.Raw;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "raw": the file, or a window of it, is the disk.</summary>
internal sealed class RawDriver : IBlockDriver
{
    /// <inheritdoc/>
    public string Name => "raw";

    /// <inheritdoc/>
    public bool IsFormat => true;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var options = new RawOptions
        {
            Given = opening.Options.AsJson(key => key is "offset" or "size"),
            Offset = opening.Options.TakeSize("offset") ?? 0,
            Size = opening.Options.TakeSize("size"),
            WasProbed = opening.WasProbed,
        };
        opening.Options.CheckEmpty(Name);
        var isWhole = options is { Offset: 0, Size: null };
        var file = await opening.ChangeFileAsync(
            isWhole ? ChildRole.Filtered | ChildRole.Primary : ChildRole.Data | ChildRole.Primary, NodeOpening.Looking).ConfigureAwait(false);
        if (opening is { WasProbed: true, Settings.ReadOnly: false })
        {
            opening.Session.Warn(
                $"WARNING: The format of '{opening.Name ?? file.Node.FileName}' was not given; it was probed, and taken for raw. "
                + "A guest can make a raw image look like another format, so writes to its first sector are checked. "
                + "Give the format (raw) to have them unchecked.");
        }

        return opening.Finish(RawNode.Open(file, options));
    }
}
