using Byre.Bitmaps;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>bitmap: changes the dirty bitmaps that an image keeps.</summary>
internal static class BitmapCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        (--add [-g SIZE] | --remove | --clear | --enable | --disable | --merge SOURCE)...
              [-b FILE [-F FMT]] [-f FMT | --image-opts] [--object OBJDEF] FILENAME BITMAP

        What is asked for is done in the order in which it is given.

          --add                     make BITMAP, which records what is written from now on
          -g, --granularity SIZE    ... with a bit for so many bytes: a power of two from 512 to 2G
          --remove                  remove BITMAP
          --clear                   nothing is dirty in BITMAP any more
          --enable, --disable       BITMAP records what is written, or does not
          --merge SOURCE            what is dirty in the bitmap SOURCE becomes dirty in BITMAP
          -b, --source-file FILE    the image that has SOURCE (the same if not given)
          -F, --source-format FMT   the format of that image
          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("object", '\0', ImgValue.Required),
        new("source-file", 'b', ImgValue.Required), new("source-format", 'F', ImgValue.Required), new("granularity", 'g', ImgValue.Required),
        new("add", '\0'), new("remove", '\0'), new("clear", '\0'), new("enable", '\0'), new("disable", '\0'),
        new("merge", '\0', ImgValue.Required),
    ];

    private static readonly string[] Actions = ["add", "remove", "clear", "enable", "disable", "merge"];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var granularity = arguments.Value("granularity") is { } text ? ImgSize.Parse(text, "granularity") : 0;
        ImgObjects.Load(context, arguments);
        CheckWords(arguments);
        ImgImages.CheckFormat(arguments, "format");
        var name = arguments.Operands[0];
        var image = await ImgImages.OpenAsync(
            name,
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), forceShare: false) with { ReadOnly = false, NoBacking = true },
            DefaultPermissions.ForUser(write: true)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            var other = arguments.Value("source-file") is { } file
                ? await ImgImages.OpenAsync(
                    file,
                    imageOptions: false,
                    ImgImages.ForReading(context, arguments.Value("source-format"), forceShare: false) with { NoBacking = true },
                    ImgImages.Reading(forceShare: false)).ConfigureAwait(false)
                : null;
            try
            {
                await RunAsync(arguments, granularity, image.Node, other?.Node ?? image.Node).ConfigureAwait(false);
            }
            finally
            {
                if (other is not null)
                {
                    await other.DisposeAsync().ConfigureAwait(false);
                }
            }
        }

        return 0;
    }

    private static void CheckWords(ImgArguments arguments)
    {
        if (arguments.Operands.Count != 2)
        {
            throw new ImgUsageException("name an image and a bitmap");
        }

        if (!Actions.Any(arguments.Has))
        {
            throw new ImgUsageException("say what to do: --add, --remove, --clear, --enable, --disable or --merge");
        }

        if (arguments.Has("granularity") && !arguments.Has("add"))
        {
            throw new ImgUsageException("a granularity (-g) goes with --add");
        }

        if (arguments.Has("source-format") && !arguments.Has("source-file"))
        {
            throw new ImgUsageException("the source's format (-F) goes with the source's name (-b)");
        }

        if (arguments.Has("source-file") && !arguments.Has("merge"))
        {
            throw new ImgUsageException("a source (-b) goes with --merge");
        }
    }

    private static async ValueTask RunAsync(ImgArguments arguments, long granularity, BlockNode node, BlockNode other)
    {
        var (file, name) = (arguments.Operands[0], arguments.Operands[1]);
        foreach (var (action, value) in arguments.Options)
        {
            if (!Actions.Contains(action))
            {
                continue;
            }

            try
            {
                var bitmaps = node as IPersistentBitmaps
                    ?? throw new BlockException(ErrorCode.NotSupported, $"The {node.DriverName} format keeps no bitmaps");
                await RunAsync(bitmaps, action, value, name, granularity, other).ConfigureAwait(false);
            }
            catch (BlockException e)
            {
                throw new ImgFailure(ImgImages.Naming(e.Message, file, $"Could not {action} the bitmap '{name}' of"), 1, e);
            }
        }
    }

    private static ValueTask RunAsync(
        IPersistentBitmaps bitmaps, string action, string? value, string name, long granularity, BlockNode other) => action switch
    {
        "add" => AddAsync(bitmaps, name, granularity),
        "remove" => bitmaps.RemoveBitmapAsync(name),
        "clear" => bitmaps.ClearBitmapAsync(name),
        "merge" => MergeAsync(bitmaps, name, other, value!),
        _ => bitmaps.EnableBitmapAsync(name, action == "enable"),
    };

    private static async ValueTask AddAsync(IPersistentBitmaps bitmaps, string name, long granularity) =>
        await bitmaps.AddBitmapAsync(name, granularity, isEnabled: true).ConfigureAwait(false);

    private static async ValueTask MergeAsync(IPersistentBitmaps bitmaps, string name, BlockNode other, string source)
    {
        IReadOnlyList<DirtyBitmap> list = other is IPersistentBitmaps from ? await from.ListBitmapsAsync().ConfigureAwait(false) : [];
        var found = list.FirstOrDefault(b => b.Name == source)
            ?? throw new BlockException(ErrorCode.NotFound, $"The image '{other.FileName}' has no bitmap '{source}'");
        await bitmaps.MergeBitmapAsync(name, found).ConfigureAwait(false);
    }
}
