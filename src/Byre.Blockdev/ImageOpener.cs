using Byre.Blockdev.Open;
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
        if (options.Snapshot)
        {
            throw new BlockException(ErrorCode.NotSupported, "A temporary overlay is not supported yet");
        }

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

        var session = new ImageSession(options);
        var inherited = new NodeSettings
        {
            ReadOnly = options.ReadOnly,
            ForceShare = options.ForceShare,
            Cache = options.Cache,
            DiscardUnmap = options.DiscardUnmap,
        };
        if (options.DetectZeroes is { } zeroes)
        {
            own.TryAdd("detect-zeroes", zeroes);
        }

        var node = await session.OpenNodeAsync(options.FileName, own, inherited, wantsImage: true, new BackingLoopGuard()).ConfigureAwait(false);
        var wasProbed = session.ProbedNode is { } probed && ReferenceEquals(probed, node);
        if (node.IsReadOnly)
        {
            // What nobody can do is not asked for: read-only=on in the options goes before what the tool would like.
            permissions = permissions with { Used = permissions.Used & ~(Permissions.Write | Permissions.WriteUnchanged | Permissions.Resize) };
        }

        var edge = await session.Graph.AttachAsync(node, ChildRole.None, permissions).ConfigureAwait(false);
        return new OpenImage(session.Graph, edge, wasProbed);
    }
}
