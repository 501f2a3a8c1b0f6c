using Byre.Blockdev;
using Byre.Graph;
using Byre.Jobs;

namespace Byre.Cli.Img;

/// <summary>amend: changes options of an image that exists.</summary>
internal static class AmendCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-p] [-f FMT | --image-opts] [-t CACHE] [--force]
              [--object OBJDEF] -o OPTIONS FILENAME

        Changes what FILENAME is: the version of its format, the width of its reference counts, names
        and flags. At any moment, and after a crash, FILENAME reads the same.

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -o, --options OPTIONS     what is changed, 'name=value,...'; 'help' lists what can be
          -t, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          --force                   allow changes of keys that may lock the image for ever
          -p, --progress[=json|plain|bar]
                                    tell how far it is
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("progress", 'p', ImgValue.Optional), new("format", 'f', ImgValue.Required),
        new("image-opts", '\0'), new("cache", 't', ImgValue.Required), new("options", 'o', ImgValue.Required), new("force", '\0'),
        new("object", '\0', ImgValue.Required),
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
        if (!arguments.Has("options"))
        {
            throw new ImgUsageException("say what is to be changed (-o)");
        }

        var options = ImgOptions.Read(arguments, "options", out var wantsHelp);
        var format = arguments.Value("format");
        if (wantsHelp && format is not null)
        {
            context.Output.Write(ImgOptions.DescribeAmendment(format));
            return 0;
        }

        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        using var progress = ConvertProgress.From(arguments, context, "amend");
        var image = await ImgImages.OpenAsync(
            arguments.Operands[0],
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, format, forceShare: false) with { ReadOnly = false, Cache = ImgImages.Cache(arguments.Value("cache")) },
            DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            if (wantsHelp)
            {
                context.Output.Write(ImgOptions.DescribeAmendment(image.FormatName));
                return 0;
            }

            if (image.IsReadOnly)
            {
                throw new ImgFailure($"'{arguments.Operands[0]}' is opened for reading only");
            }

            await progress.RunAsync(() => ImageAmender.AmendAsync(image, options, arguments.Has("force"), context.Secrets).AsTask()).ConfigureAwait(false);
        }

        progress.Report(new CopyProgress(1, 1));
        progress.Finish();
        return 0;
    }
}
