using Byre.Blockdev;
using Byre.Formats.Luks;
using Byre.Graph;
using Byre.Nbd.Client;
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
    /// <param name="sources">What is to be copied into it.</param>
    /// <param name="cache">The cache mode.</param>
    /// <param name="length">How much is copied, in bytes; null for all of them.</param>
    /// <exception cref="ImgFailure">It cannot be made or opened, or it is one of the files that are read: those are never touched.</exception>
    public async Task<OpenImage> OpenAsync(ConvertSources sources, CacheMode cache, long? length = null)
    {
        if (!options.NoCreate)
        {
            foreach (var path in Paths())
            {
                if (await sources.ReadsAsync(path).ConfigureAwait(false))
                {
                    throw new ImgFailure($"'{path}' is read by this copy: it cannot be its target too");
                }
            }

            await CreateAsync(length ?? sources.Length).ConfigureAwait(false);
        }

        // The passphrase that it was made with opens it.
        var keys = values.Where(v => !options.NoCreate && v.Key.EndsWith("key-secret", StringComparison.Ordinal));
        return await ImgImages.OpenAsync(
            options.Target!,
            options.TargetImageOpts,
            new OpenOptions
            {
                Format = options.TargetFormat,
                Options = new Dictionary<string, string>(keys, StringComparer.Ordinal),
                Cache = cache,
                DiscardUnmap = options.SparseBytes > 0,
                Gate = OpenGate.AllowAll,
                Warn = context.Note,
                Objects = context.Objects,
                BlockingIo = true,
            },
            DefaultPermissions.ForUser(write: true)).ConfigureAwait(false);
    }

    /// <summary>What the image reads as when it is made is not known: it lies on a host device or in an NBD export, or its bytes are decrypted ones.</summary>
    public static bool IsUnknownWhenNew(BlockNode node) =>
        node is LuksNode or FileNode { IsDevice: true } or NbdNode { WasZero: false } || node.Children.Any(c => (c.Role & ChildRole.Backing) == 0 && IsUnknownWhenNew(c.Node));

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

        if (options.Compress && !known.Any(o => o.Name == "compression_type"))
        {
            throw new ImgFailure($"The {format} format has no compression");
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

        if (options.Compress && !string.IsNullOrEmpty(values.GetValueOrDefault("data_file")))
        {
            throw new ImgFailure("Compression and an external data file exclude each other");
        }

        if (options.Compress && (values.ContainsKey("encrypt.format") || values.GetValueOrDefault("encryption") is "on" or "yes" or "true"))
        {
            throw new ImgFailure("Compression and encryption exclude each other");
        }
    }

    /// <summary>The host files that are made.</summary>
    private string[] Paths() =>
        [.. new[] { options.Target!, values.GetValueOrDefault("data_file") ?? "" }
            .Select(FileNames.PathOf).Where(p => !string.IsNullOrEmpty(p)).Select(p => p!)];

    private async Task CreateAsync(long length)
    {
        var name = options.Target!;
        var paths = Paths();
        string[] newPaths = [.. paths.Where(p => !File.Exists(p))];
        foreach (var path in newPaths)
        {
            context.Targets.AddNew(path);
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
                Secrets = context.Secrets,
                Gate = OpenGate.AllowAll,
            }).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            // Who failed to make them removed them; what bears these names now is somebody else's.
            context.Targets.ForgetAll();
            throw new ImgFailure($"{name}: error while converting {options.TargetFormat}: {e.Message}", inner: e);
        }

        foreach (var path in paths.Except(newPaths))
        {
            context.Targets.AddOverwritten(path);
        }
    }
}
