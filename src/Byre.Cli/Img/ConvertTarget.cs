using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>The image that convert writes: what is asked for, made and opened.</summary>
internal sealed class ConvertTarget
{
    private readonly ConvertOptions options;
    private readonly ImgContext context;
    private readonly Dictionary<string, string> values = new(StringComparer.Ordinal);

    /// <summary>Checks what is asked for, once the sources are open.</summary>
    /// <exception cref="ImgFailure">The format is unknown, or cannot do it.</exception>
    public ConvertTarget(ConvertOptions options, ImgContext context)
    {
        this.options = options;
        this.context = context;
        foreach (var list in options.TargetOptions)
        {
            OptionTree.AddList(values, list);
        }

        if (options.Backing is { } backing)
        {
            values["backing_file"] = backing;
        }

        if (options.BackingFormat is { } format)
        {
            values["backing_fmt"] = format;
        }

        Backing = values.GetValueOrDefault("backing_file") is { Length: > 0 } file ? file : null;
        if (!options.NoCreate)
        {
            CheckFormat();
        }

        CheckCombinations();
    }

    /// <summary>The backing file it is to have, or null.</summary>
    public string? Backing { get; }

    /// <summary>Makes the image, unless it exists already, and opens it.</summary>
    /// <param name="length">Bytes of the virtual disk.</param>
    /// <param name="cache">The cache mode.</param>
    public async Task<OpenImage> OpenAsync(long length, CacheMode cache)
    {
        if (!options.NoCreate)
        {
            await CreateAsync(length).ConfigureAwait(false);
        }

        return await ImgImages.OpenAsync(
            options.Target!,
            options.TargetImageOpts,
            new OpenOptions
            {
                Format = options.TargetFormat,
                Cache = cache,
                DiscardUnmap = options.SparseBytes > 0,
                Gate = OpenGate.AllowAll,
                Warn = context.Note,
                BlockingIo = true,
            },
            DefaultPermissions.ForUser(write: true)).ConfigureAwait(false);
    }

    /// <summary>Whether a host device lies below a node: what it holds when it is made is not known.</summary>
    public static bool IsOnDevice(BlockNode node) =>
        node is FileNode { IsDevice: true } || node.Children.Any(c => (c.Role & ChildRole.Backing) == 0 && IsOnDevice(c.Node));

    private void CheckFormat()
    {
        var format = options.TargetFormat!;
        if (FormatRegistry.CreateOptionDescriptions(format) is not { } known)
        {
            throw new ImgFailure(FormatRegistry.DriverNames.Contains(format)
                ? $"Images in the {format} format cannot be created"
                : $"Unknown file format '{format}'");
        }

        if (options.Backing is not null && !known.Any(o => o.Name == "backing_file"))
        {
            throw new ImgFailure($"The {format} format has no backing files");
        }

        if (options.BackingFormat is not null && !known.Any(o => o.Name == "backing_fmt"))
        {
            throw new ImgFailure($"The {format} format has no backing files, and so no format for one");
        }
    }

    private void CheckCombinations()
    {
        if (Backing is not null && options.TargetIsZero)
        {
            throw new ImgFailure("--target-is-zero cannot be true of an image with a backing file");
        }

        if (Backing is not null && options.Sources.Count > 1)
        {
            throw new ImgFailure("A backing file for the target means nothing where several images are joined");
        }

        if (Backing is not null && !options.NoCreate && string.IsNullOrEmpty(values.GetValueOrDefault("backing_fmt")))
        {
            throw new ImgFailure("A backing file needs its format: give it by -F");
        }

        if (options.Compress && values.GetValueOrDefault("preallocation") is not (null or "" or "off"))
        {
            throw new ImgFailure("Compression and preallocation exclude each other");
        }

        if (options.Compress && (values.ContainsKey("encrypt.format") || values.GetValueOrDefault("encryption") is "on" or "yes" or "true"))
        {
            throw new ImgFailure("Compression and encryption exclude each other");
        }
    }

    private async Task CreateAsync(long length)
    {
        var name = options.Target!;
        var path = FileNames.PathOf(name);
        var isNew = path is not null && !File.Exists(path);
        if (isNew)
        {
            context.Targets.Add(path!);
        }

        // The sources' lengths decide about the size, whatever the options say.
        var rest = values.Where(v => v.Key is not ("size" or "backing_file" or "backing_fmt"))
            .Select(v => KeyValuePair.Create(v.Key, (string?)v.Value)).ToArray();
        try
        {
            await ImageCreator.CreateAsync(new ImageCreateRequest
            {
                FileName = name,
                Format = options.TargetFormat!,
                Size = length,
                Options = rest,
                BackingFile = Backing,
                BackingFormat = values.GetValueOrDefault("backing_fmt"),
                Gate = OpenGate.AllowAll,
            }).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"{name}: error while converting {options.TargetFormat}: {e.Message}", inner: e);
        }

        if (path is not null)
        {
            context.Targets.Add(path);
        }
    }
}
