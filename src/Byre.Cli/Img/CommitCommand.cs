using Byre.Blockdev;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>commit: writes what an image holds into a layer below it.</summary>
internal static class CommitCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-p] [-f FMT | --image-opts] [-t CACHE] [-b BASE] [-d]
              [-r RATE] [--object OBJDEF] FILENAME

        Writes what FILENAME has of its own into its backing file, and empties FILENAME.
        At any moment, and after a crash, FILENAME reads the same.

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -b, --base BASE           the layer to write to, if not the one right below; FILENAME is not
                                    emptied then, and the layers between are of no use any more
          -d, --drop                do not empty FILENAME
          -t, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -r, --rate RATE           bytes a second
          -p, --progress[=json|plain|bar]
                                    tell how far it is
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("progress", 'p', ImgValue.Optional), new("format", 'f', ImgValue.Required),
        new("image-opts", '\0'), new("cache", 't', ImgValue.Required), new("drop", 'd'), new("base", 'b', ImgValue.Required),
        new("rate", 'r', ImgValue.Required), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var rate = arguments.Value("rate") is { } text ? ImgSize.Parse(text, "rate limit") : 0;
        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        var options = ImgImages.ForReading(context, arguments.Value("format"), forceShare: false) with
        {
            Cache = ImgImages.Cache(arguments.Value("cache")),
        };
        using var progress = ConvertProgress.From(arguments, context, "commit");
        var image = await OpenAsync(arguments, options).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            await CommitAsync(context, arguments, image, options.Cache.Writethrough, rate, progress).ConfigureAwait(false);
        }

        progress.Finish();
        if (!arguments.Has("quiet"))
        {
            context.Output.Write("Image committed.\n");
        }

        return 0;
    }

    /// <summary>Opens the image, and the layer that is written to, for writing.</summary>
    private static async ValueTask<OpenImage> OpenAsync(ImgArguments arguments, OpenOptions options)
    {
        var name = arguments.Operands[0];
        var imageOptions = arguments.Has("image-opts");
        string keys;
        var looked = await ImgImages.OpenAsync(name, imageOptions, options, DefaultPermissions.ForUser(write: false)).ConfigureAwait(false);
        await using (looked.ConfigureAwait(false))
        {
            keys = ChainLayers.KeysTo(looked.Node, FindBase(arguments, looked.Node));
        }

        var writable = new Dictionary<string, string>(StringComparer.Ordinal) { [keys + "read-only"] = "off" };
        return await ImgImages.OpenAsync(
            name, imageOptions, options with { ReadOnly = false, Options = writable }, DefaultPermissions.ForUser(write: true)).ConfigureAwait(false);
    }

    private static BlockEdge FindBase(ImgArguments arguments, BlockNode top)
    {
        var wanted = arguments.Value("base");
        return ChainLayers.Find(top, wanted) ?? throw new ImgFailure(
            wanted is null ? $"'{arguments.Operands[0]}' has no backing file" : $"'{wanted}' is no layer below '{arguments.Operands[0]}'");
    }

    private static async ValueTask CommitAsync(
        ImgContext context, ImgArguments arguments, OpenImage image, bool writethrough, long rate, ConvertProgress progress)
    {
        var layer = FindBase(arguments, image.Node).Node;
        if (layer.IsReadOnly)
        {
            throw new ImgFailure($"'{layer.FileName}' is opened for reading only: nothing can be committed to it");
        }

        var target = await image.Graph.AttachAsync(layer, ChildRole.None, DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
        await using (target.ConfigureAwait(false))
        {
            var job = new CommitJob(image.Edge, target, new CopyOptions
            {
                OnCallersThread = true,
                SparseBytes = long.MaxValue, // data stays data, as it is above
                CopyRange = true,
                RateBytesPerSecond = rate,
                Writethrough = writethrough,
                Progress = progress.Wanted,
            })
            {
                EmptiesTop = !arguments.Has("drop") && !arguments.Has("base"),
            };
            await progress.RunAsync(() => job.RunAsync(context.Stopping).AsTask()).ConfigureAwait(false);
        }
    }
}
