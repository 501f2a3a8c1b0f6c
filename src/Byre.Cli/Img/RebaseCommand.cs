using Byre.Blockdev;
using Byre.Formats.Qcow2;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>rebase: gives an image another backing file.</summary>
internal static class RebaseCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-p] [-U] [-f FMT | --image-opts] [-t CACHE]
              [-b BACKING -F BACKING_FMT [-T BACKING_CACHE]] [-u] [-c] [--object OBJDEF] FILENAME

        Gives FILENAME the backing file BACKING; with -b "" it has none afterwards. FILENAME reads
        the same: what differs is copied into it before. Only what differs is written, and what is
        zero, or the same file's in both chains, is not even read.

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -b, --backing BACKING     the new backing file, as its name will be stored; "" for none
          -F, --backing-format FMT  its format
          -u, --backing-unsafe      change the name only: for a backing file that was renamed, or
                                    whose content is the same; no backing file is opened
          -c, --compress            store compressed what is copied
          -t, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -T, --backing-cache CACHE the same for the new backing file
          -U, --force-share         others may have the new backing file open for writing
          -p, --progress[=json|plain|bar]
                                    tell how far it is
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("progress", 'p', ImgValue.Optional), new("format", 'f', ImgValue.Required),
        new("image-opts", '\0'), new("cache", 't', ImgValue.Required), new("backing", 'b', ImgValue.Required),
        new("backing-format", 'F', ImgValue.Required), new("backing-cache", 'T', ImgValue.Required), new("backing-unsafe", 'u'),
        new("compress", 'c'), new("force-share", 'U'), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        var isUnsafe = arguments.Has("backing-unsafe");
        var backing = arguments.Value("backing");
        if (backing is null && !isUnsafe)
        {
            throw new ImgUsageException("name the new backing file (-b), or take it away with -b \"\"");
        }

        ImgImages.CheckFormat(arguments, "format");
        var cache = ImgImages.Cache(arguments.Value("cache"));
        var backingCache = ImgImages.Cache(arguments.Value("backing-cache"));
        backing = string.IsNullOrEmpty(backing) ? null : backing;
        var format = arguments.Value("backing-format");
        if (format is not null && !FormatRegistry.IsKnown(format))
        {
            throw new ImgFailure($"There is no format '{format}'");
        }

        using var progress = ConvertProgress.From(arguments, context, "rebase");
        var image = await ImgImages.OpenAsync(
            arguments.Operands[0],
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), forceShare: false) with { ReadOnly = false, Cache = cache, NoBacking = isUnsafe },
            DefaultPermissions.ForUser(write: true)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            var reference = RebaseJob.ReferenceOf(image.Node);
            if (backing is not null && format is null)
            {
                throw new ImgFailure($"'{backing}' is not made the backing file of '{arguments.Operands[0]}' without its format: give it by -F");
            }

            if (isUnsafe)
            {
                await reference.ChangeBackingReferenceAsync(backing, format).ConfigureAwait(false);
            }
            else
            {
                await RebaseAsync(context, arguments, image, backing, cache.Writethrough, backingCache, progress).ConfigureAwait(false);
            }
        }

        progress.Finish();
        return 0;
    }

    private static async ValueTask RebaseAsync(
        ImgContext context, ImgArguments arguments, OpenImage image, string? name, bool writethrough, CacheMode backingCache, ConvertProgress progress)
    {
        var compress = arguments.Has("compress");
        if (compress && (image.Node.SupportedWriteFlags & WriteFlags.Compressed) == 0)
        {
            throw new ImgFailure($"'{arguments.Operands[0]}' cannot store compressed data");
        }

        var backing = name is null ? null : await OpenBackingAsync(context, arguments, image.Node.FileName, name, backingCache).ConfigureAwait(false);
        try
        {
            var job = new RebaseJob(image.Edge, backing?.Edge, new CopyOptions
            {
                OnCallersThread = true,
                Compressed = compress,
                CompressionUnit = BackingChain.SkipFilters(image.Node) is Qcow2Node qcow2 ? qcow2.Header.ClusterSize : 0,
                Writethrough = writethrough,
                Progress = progress.Wanted,
            })
            {
                BackingFileName = name,
                BackingFormat = arguments.Value("backing-format"),
                IsSameImage = ImageIdentity.IsSame,
            };
            await progress.RunAsync(() => job.RunAsync(context.Stopping).AsTask()).ConfigureAwait(false);
        }
        finally
        {
            if (backing is not null)
            {
                await backing.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static async ValueTask<OpenImage> OpenBackingAsync(ImgContext context, ImgArguments arguments, string image, string name, CacheMode cache)
    {
        try
        {
            var path = FileNames.Resolve(image, name);
            var forceShare = arguments.Has("force-share");
            return await ImageOpener.OpenAsync(
                ImgImages.ForReading(context, arguments.Value("backing-format"), forceShare) with
                {
                    FileName = path is null ? name : FileNames.OfPath(path),
                    Cache = cache,
                },
                ImgImages.Reading(forceShare)).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"Could not open the new backing file '{name}': {e.Message}", inner: e);
        }
    }
}
