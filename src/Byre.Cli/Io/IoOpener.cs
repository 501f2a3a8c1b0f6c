using Byre.Blockdev.Drivers;
using Byre.Filters;
using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Io;

/// <summary>
/// Opens the drivers that the applet needs to work alone: file, raw, blkdebug and blkverify. Formats and protocols of
/// Byre.Blockdev's registry take its place.
/// </summary>
internal sealed class IoOpener(Action<string> warn) : IIoOpener
{
    private const int ProbeLength = 512;

    private static readonly string[] CommonKeys =
        ["driver", "node-name", "read-only", "auto-read-only", "force-share", "discard", "detect-zeroes", "cache.direct", "cache.no-flush"];

    /// <inheritdoc/>
    public async ValueTask<IoImage> OpenAsync(IoOpenRequest request)
    {
        if (request.Snapshot || request.CopyOnRead)
        {
            throw new BlockException(ErrorCode.NotSupported, $"{(request.Snapshot ? "A temporary overlay" : "Copy-on-read")} is not supported yet");
        }

        if (request is { ForceShare: true, ReadOnly: false })
        {
            throw new BlockException(ErrorCode.Invalid, "An image can be shared (-U) only where it is opened for reading only (-r)");
        }

        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var list in request.Options)
        {
            IoOptionTree.AddList(options, list);
        }

        if (request.FileName is { } name)
        {
            if (name.StartsWith("json:", StringComparison.Ordinal))
            {
                IoOptionTree.AddJson(options, name[5..]);
            }
            else
            {
                options["filename"] = name;
            }
        }

        if (request.Format is { } format)
        {
            options["driver"] = format;
        }

        var readOnly = request.ReadOnly || options.GetValueOrDefault("read-only") is "on" or "yes" or "true";
        var opening = new Opening(new BlockGraph(), request with { ReadOnly = readOnly });
        var node = await OpenNodeAsync(opening, options, formatWanted: true).ConfigureAwait(false);
        var permissions = request.ForceShare ? DefaultPermissions.ForceShare
            : readOnly ? DefaultPermissions.Reader
            : DefaultPermissions.Writer;
        var edge = await opening.Graph.AttachAsync(node, ChildRole.None, permissions).ConfigureAwait(false);
        return new IoImage(edge, request with { ReadOnly = readOnly });
    }

    private static void CheckKeys(string driver, Dictionary<string, string> options, params ReadOnlySpan<string> known)
    {
        foreach (var key in options.Keys)
        {
            var dot = key.IndexOf('.', StringComparison.Ordinal);
            if (!known.Contains(dot < 0 ? key : key[..(dot + 1)]) && !CommonKeys.Contains(key))
            {
                throw new BlockException(ErrorCode.Invalid, $"The {driver} driver has no option '{key}'");
            }
        }
    }

    private static FileNode OpenFile(Opening opening, Dictionary<string, string> options)
    {
        CheckKeys("file", options, "filename", "locking", "aio", "pr-manager", "x-check-cache-dropped", "drop-cache");
        var name = options.GetValueOrDefault("filename")
            ?? throw new BlockException(ErrorCode.Invalid, "The file driver needs a filename");
        var mode = CacheMode.Parse(opening.Request.CacheMode) ?? CacheMode.Writeback;
        return FileNode.Open(new FileNodeOptions
        {
            Path = name.StartsWith("file:", StringComparison.Ordinal) ? name[5..] : name,
            ReadOnly = opening.Request.ReadOnly,
            Cache = mode with
            {
                Direct = options.TryGetValue("cache.direct", out var direct) ? direct is "on" : mode.Direct,
                NoFlush = options.TryGetValue("cache.no-flush", out var noFlush) ? noFlush is "on" : mode.NoFlush,
            },
            DiscardUnmap = opening.Request.DiscardMode is null or "unmap" or "on",
            Locking = options.GetValueOrDefault("locking") is not "off",
        });
    }

    private static long Number(Dictionary<string, string> options, string key) =>
        IoNumber.ParseSize(options[key], out var value) == IoNumberError.None
            ? value
            : throw new BlockException(ErrorCode.Invalid, $"'{options[key]}' is not a size for {key}");

    private async ValueTask<BlockNode> OpenNodeAsync(Opening opening, Dictionary<string, string> options, bool formatWanted)
    {
        var driver = options.GetValueOrDefault("driver");
        if (options.TryGetValue("filename", out var name) && driver is null or "blkdebug" or "blkverify"
            && FilterFileNames.Parse(name ?? "") is { } fromName && (driver is not null || !formatWanted))
        {
            options.Remove("filename");
            foreach (var (key, value) in fromName)
            {
                options[key] = value;
            }

            driver = options["driver"];
        }

        switch (driver)
        {
            case "file" or "host_device":
                return OpenFile(opening, options);
            case "blkdebug":
                var debug = BlkdebugOptionReader.Read(options);
                var image = await OpenChildAsync(opening, options, "image", ChildRole.Filtered | ChildRole.Primary, formatWanted: false).ConfigureAwait(false);
                return new BlkdebugNode(image, debug);
            case "blkverify":
                CheckKeys(driver, options, "raw.", "test.");
                var raw = await OpenChildAsync(opening, options, "raw", ChildRole.Filtered | ChildRole.Primary, formatWanted: false).ConfigureAwait(false);
                var test = await OpenChildAsync(opening, options, "test", ChildRole.Data, formatWanted: true).ConfigureAwait(false);
                return new BlkverifyNode(test, raw);
            case null when !formatWanted:
                return OpenFile(opening, options);
            case null or "raw":
                return await OpenFormatAsync(opening, options, driver).ConfigureAwait(false);
            default:
                throw new BlockException(ErrorCode.Invalid, $"Unknown driver '{driver}'");
        }
    }

    private async ValueTask<BlockEdge> OpenChildAsync(
        Opening opening, Dictionary<string, string> options, string key, ChildRole role, bool formatWanted)
    {
        var below = IoOptionTree.Below(options, key);
        if (below.Count == 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"Options for \"{key}\" are missing: a driver or a file");
        }

        var node = await OpenNodeAsync(opening, below, formatWanted).ConfigureAwait(false);
        return await opening.Graph.AttachAsync(node, role, opening.ForOpening, key).ConfigureAwait(false);
    }

    private async ValueTask<BlockNode> OpenFormatAsync(Opening opening, Dictionary<string, string> options, string? driver)
    {
        var name = options.GetValueOrDefault("filename");
        if (name is not null)
        {
            options.Remove("filename");
            options["file.filename"] = name;
        }
        else if (driver is null && IoOptionTree.Below(options, "file").Count == 0)
        {
            throw new BlockException(ErrorCode.Invalid, "Neither a driver nor a file is named");
        }

        var file = await OpenChildAsync(opening, options, "file", ChildRole.Filtered | ChildRole.Primary, formatWanted: false).ConfigureAwait(false);
        try
        {
            if (driver is null)
            {
                await ProbeAsync(opening, file).ConfigureAwait(false);
            }

            CheckKeys("raw", options, "file.", "size", "offset");
            return RawNode.Open(file, new RawOptions
            {
                Offset = options.ContainsKey("offset") ? Number(options, "offset") : 0,
                Size = options.ContainsKey("size") ? Number(options, "size") : null,
                WasProbed = driver is null,
            });
        }
        catch
        {
            await file.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async ValueTask ProbeAsync(Opening opening, BlockEdge file)
    {
        var head = new byte[Math.Min(ProbeLength, file.Length)];
        await file.ReadAsync(0, head).ConfigureAwait(false);
        if (FormatMagic.Probe(head) is { } other)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The image is in the {other} format, which is not supported here");
        }

        if (!opening.Request.ReadOnly)
        {
            warn($"WARNING: The format of '{opening.Request.FileName ?? file.Node.FileName}' was not given; it was probed, and taken for raw.\n"
                + "         A guest can make a raw image look like another format, so writes to its first sector are checked.\n"
                + "         Give the format (raw) to have them unchecked.");
        }
    }

    private sealed record Opening(BlockGraph Graph, IoOpenRequest Request)
    {
        /// <summary>What a child's edge uses until its parent node takes it over.</summary>
        public PermissionSet ForOpening => Request.ForceShare ? DefaultPermissions.ForceShare
            : Request.ReadOnly ? DefaultPermissions.Reader
            : DefaultPermissions.Writer;
    }
}
