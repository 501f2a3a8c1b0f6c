using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Open;

/// <summary>Opens what an image names: its backing file, its data file. Options of the user go before what the image says.</summary>
internal static class ReferenceOpener
{
    private const string Backing = "backing";
    private const string DataFile = "data-file";

    /// <summary>Opens the backing file.</summary>
    /// <param name="opening">The image; takes its options "backing" and below.</param>
    /// <param name="name">The name in the image, or null.</param>
    /// <param name="format">The format that the image says it has, or null: then it is probed.</param>
    /// <returns>Null where there is none, or none is wanted.</returns>
    public static async ValueTask<BlockEdge?> OpenBackingAsync(NodeOpening opening, string? name, string? format)
    {
        var below = opening.Options.TakeBelow(Backing);
        var reference = opening.Options.TakeReference(Backing);
        if (reference is { Length: > 0 })
        {
            return await AttachExistingAsync(opening, reference, below, ChildRole.Backing, Backing).ConfigureAwait(false);
        }

        if (opening.Session.NoBacking || reference is not null || (name is null && below.Count == 0))
        {
            return reference is null || below.Count == 0 ? null : throw Twice(Backing, reference);
        }

        var image = opening.File.Node.FileName;
        string? target = null;
        if (!NamesItself(below))
        {
            if (name is null)
            {
                throw new BlockException(ErrorCode.Invalid, $"Options are given for the backing file of '{image}', which has none, and they name none");
            }

            target = Check(opening, OpenKind.Backing, name, FileNames.Resolve(image, name), format);
        }

        if (format is not null)
        {
            below.TryAdd("driver", format);
        }

        var shown = target is null ? "" : $" '{FileNames.Printable(name!)}'";
        return await WrapAsync(
            opening,
            $"Could not open the backing file{shown} of '{image}'",
            async () =>
            {
                var node = await opening.Session.OpenNodeAsync(target, below, opening.Settings.ForBacking, wantsImage: true, opening.Guard, OptionTree.Below(opening.Options.JsonValues, Backing)).ConfigureAwait(false);
                return await opening.AttachAsync(node, ChildRole.Backing, NodeOpening.Looking, Backing).ConfigureAwait(false);
            }).ConfigureAwait(false);
    }

    /// <summary>Opens the data file of an image that has one.</summary>
    /// <param name="opening">The image; takes its options "data-file" and below.</param>
    /// <param name="name">The name in the image, or null.</param>
    /// <exception cref="BlockException">It cannot be opened, or nobody names it.</exception>
    public static async ValueTask<BlockEdge> OpenDataFileAsync(NodeOpening opening, string? name)
    {
        var below = opening.Options.TakeBelow(DataFile);
        if (opening.Options.TakeReference(DataFile) is { } reference)
        {
            return await AttachExistingAsync(opening, reference, below, ChildRole.Data, DataFile).ConfigureAwait(false);
        }

        var image = opening.File.Node.FileName;
        string? target = null;
        if (below.Count == 0)
        {
            if (name is null)
            {
                throw new BlockException(ErrorCode.Invalid, $"Could not open '{image}': it has a data file but does not name it; give the option data-file", image);
            }

            target = Check(opening, OpenKind.DataFile, name, DataPath(image, name), null);
        }

        var shown = target is null ? "" : $" '{FileNames.Printable(name!)}'";
        var permissions = DefaultPermissions.ForStorage(ChildRole.Data, NodeOpening.Looking, !opening.Settings.ReadOnly);
        return await WrapAsync(
            opening,
            $"Could not open the data file{shown} of '{image}'",
            async () =>
            {
                var node = await opening.Session.OpenNodeAsync(target, below, opening.Settings.ForChild, wantsImage: false, opening.Guard, OptionTree.Below(opening.Options.JsonValues, DataFile)).ConfigureAwait(false);
                return await opening.AttachAsync(node, ChildRole.Data, permissions, DataFile).ConfigureAwait(false);
            }).ConfigureAwait(false);
    }

    /// <summary>Says that a data file is given for an image that has none.</summary>
    public static void CheckNoDataFile(NodeOpening opening)
    {
        if (opening.Options.HasChild(DataFile))
        {
            throw new BlockException(
                ErrorCode.Invalid, $"Could not open '{opening.File.Node.FileName}': the option data-file is for images with an external data file only");
        }
    }

    /// <summary>
    /// A relative name is taken relative to the working directory, as QEMU's tools write and read it; where nothing is there,
    /// relative to the image.
    /// </summary>
    private static string? DataPath(string image, string name)
    {
        var path = FileNames.PathOf(name);
        if (path is null || path.StartsWith('/') || FileNames.ProtocolOf(name) is not null || image.Length == 0 || File.Exists(path))
        {
            return path;
        }

        var beside = FileNames.Resolve(image, name)!;
        return File.Exists(beside) ? beside : path;
    }

    /// <summary>The options say by themselves what is to be opened.</summary>
    private static bool NamesItself(Dictionary<string, string> below) =>
        below.ContainsKey("file") || below.ContainsKey("filename") || OptionTree.Below(below, "file").Count > 0
        || (below.TryGetValue("driver", out var driver) && DriverRegistry.Find(driver) is { IsFormat: false });

    private static string Check(NodeOpening opening, OpenKind kind, string name, string? path, string? format)
    {
        var image = opening.File.Node.FileName;
        var allowed = opening.Session.Gate.Check(
            new OpenRequest { Kind = kind, Name = name, Format = format, ReferencedBy = image, Path = path });
        return path is null ? name : FileNames.OfPath(allowed ?? path);
    }

    private static async ValueTask<BlockEdge> AttachExistingAsync(
        NodeOpening opening, string reference, Dictionary<string, string> below, ChildRole role, string key)
    {
        if (below.Count > 0)
        {
            throw Twice(key, reference);
        }

        var node = opening.Session.Graph.Find(reference)
            ?? throw new BlockException(ErrorCode.NotFound, $"There is no node '{reference}' for \"{key}\"");
        return await opening.AttachAsync(node, role, NodeOpening.Looking, key).ConfigureAwait(false);
    }

    private static async ValueTask<BlockEdge> WrapAsync(NodeOpening opening, string what, Func<ValueTask<BlockEdge>> open)
    {
        try
        {
            return await open().ConfigureAwait(false);
        }
        catch (BlockException e) when (!ReferenceEquals(e, opening.Session.Explained))
        {
            // In a chain the lowest two files say it; those above add nothing.
            throw opening.Session.Explained = new BlockException(e.Code, $"{what}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }
    }

    private static BlockException Twice(string key, string reference) =>
        new(ErrorCode.Invalid, $"\"{key}\" is given both as the name of a node ('{reference}') and by options");
}
