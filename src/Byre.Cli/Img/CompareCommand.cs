using Byre.Blockdev;

namespace Byre.Cli.Img;

/// <summary>compare: tells whether two images read the same.</summary>
internal static class CompareCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-p] [--image-opts | [-f FMT] [-F FMT]] [-s] [-U] [-T CACHE]
              [--object OBJDEF] FILENAME1 FILENAME2

          -f, --a-format FMT        the first image's format (looked for if not given)
          -F, --b-format FMT        the second image's format
          --image-opts              both names are lists of options, not file names
          -s, --strict              sizes and allocation must be equal too
          -p, --progress[=json]     tell how far it is
          -T, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -U, --force-share         open the images even if somebody else is writing them
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)

        Exit status: 0 identical, 1 different, 2 an image could not be opened,
        3 its allocation could not be read, 4 its data could not be read.

        """;

    /// <summary>The exit status where it could not be compared at all.</summary>
    public const int CannotOpen = 2;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("progress", 'p', ImgValue.Optional), new("a-format", 'f', ImgValue.Required),
        new("b-format", 'F', ImgValue.Required), new("image-opts", '\0'), new("strict", 's'), new("cache", 'T', ImgValue.Required),
        new("force-share", 'U'), new("object", '\0', ImgValue.Required),
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
        if (arguments.Operands.Count != 2)
        {
            throw new ImgUsageException("name two images");
        }

        ImgImages.CheckFormat(arguments, "a-format", "b-format");
        var progress = ImgProgress.From(arguments, context.Output);
        OpenImage first;
        OpenImage second;
        try
        {
            first = await OpenAsync(context, arguments, 0, "a-format").ConfigureAwait(false);
        }
        catch (ImgFailure e)
        {
            throw new ImgFailure(e.Message, CannotOpen, e);
        }

        await using (first.ConfigureAwait(false))
        {
            try
            {
                second = await OpenAsync(context, arguments, 1, "b-format").ConfigureAwait(false);
            }
            catch (ImgFailure e)
            {
                throw new ImgFailure(e.Message, CannotOpen, e);
            }

            await using (second.ConfigureAwait(false))
            {
                var isStrict = arguments.Has("strict");
                var comparison = new ImageComparison(
                    await ComparedImage.OfAsync(first.Edge, arguments.Operands[0], isStrict).ConfigureAwait(false),
                    await ComparedImage.OfAsync(second.Edge, arguments.Operands[1], isStrict).ConfigureAwait(false))
                {
                    IsStrict = isStrict,
                    Say = arguments.Has("quiet") ? null : line => context.Output.Write(line + "\n"),
                    Progress = progress,
                    Stopping = context.Stopping,
                };
                var same = await comparison.RunAsync().ConfigureAwait(false);
                progress.End();
                return same ? 0 : 1;
            }
        }
    }

    private static ValueTask<OpenImage> OpenAsync(ImgContext context, ImgArguments arguments, int index, string format)
    {
        var share = arguments.Has("force-share");
        var options = ImgImages.ForReading(context, arguments.Value(format), share) with
        {
            Cache = ImgImages.Cache(arguments.Value("cache")),
            BlockingIo = false,
        };
        return ImgImages.OpenAsync(arguments.Operands[index], arguments.Has("image-opts"), options, ImgImages.Reading(share));
    }
}
