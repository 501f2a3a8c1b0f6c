using Byre.Blockdev.Open;
using Byre.Blockdev.Options;
using Byre.Filters;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>Opens images by name and options, with all that belongs to them: the file, the data file, the backing chain.</summary>
public static class ImageOpener
{
    /// <summary>Opens an image.</summary>
    /// <param name="options">What and how.</param>
    /// <param name="permissions">What the user's edge uses and shares; see <see cref="DefaultPermissions.ForUser"/>.</param>
    /// <exception cref="BlockException">It cannot be opened; one line that names the file, and the image that names it.</exception>
    public static async ValueTask<OpenImage> OpenAsync(OpenOptions options, PermissionSet permissions)
    {
        ArgumentNullException.ThrowIfNull(options);
        var own = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in options.Options)
        {
            own[key] = value;
        }

        if (options.Format is { } format && own.TryGetValue("driver", out var driver) && driver != format)
        {
            throw new BlockException(ErrorCode.Invalid, $"The format is given twice: {format}, and driver={driver}");
        }

        if (options.Format is not null)
        {
            own["driver"] = options.Format;
        }

        // With an overlay the image is only read, and what is asked for is asked of the overlay.
        var overlayReadOnly = options.Snapshot && (new OptionSet(own, options.JsonValues).TakeSwitch("read-only") ?? options.ReadOnly);
        var session = new ImageSession(options);
        var inherited = new NodeSettings
        {
            ReadOnly = options.ReadOnly || options.Snapshot,
            ForceShare = options.ForceShare,
            Cache = options.Cache,
            DiscardUnmap = options.DiscardUnmap,
        };
        if (options.DetectZeroes is { } zeroes)
        {
            own.TryAdd("detect-zeroes", zeroes);
        }

        var node = await session.OpenNodeAsync(options.FileName, own, inherited, wantsImage: true, new BackingLoopGuard(), options.JsonValues).ConfigureAwait(false);
        var wasProbed = session.ProbedNode is { } probed && ReferenceEquals(probed, node);
        if (options.Snapshot)
        {
            node = await TemporaryOverlay.OpenAsync(session.Graph, node, overlayReadOnly).ConfigureAwait(false);
            node.IgnoresDiscards = !options.DiscardUnmap;
        }

        if (node.IsReadOnly)
        {
            // What nobody can do is not asked for: read-only=on in the options goes before what the tool would like.
            permissions = permissions with { Used = permissions.Used & ~(Permissions.Write | Permissions.WriteUnchanged | Permissions.Resize) };
        }

        if (options.CopyOnRead)
        {
            node = await WithCopyOnReadAsync(session.Graph, node).ConfigureAwait(false);
        }

        var edge = await session.Graph.AttachAsync(node, ChildRole.None, permissions).ConfigureAwait(false);
        return new OpenImage(session.Graph, edge, wasProbed);
    }

    private static async ValueTask<BlockNode> WithCopyOnReadAsync(BlockGraph graph, BlockNode image)
    {
        var edge = await graph.AttachAsync(image, ChildRole.Filtered | ChildRole.Primary, NodeOpening.Looking, "file").ConfigureAwait(false);
        try
        {
            return new CopyOnReadNode(edge);
        }
        catch
        {
            await edge.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
