using Byre.Blockdev;

namespace Byre.Cli.Img;

/// <summary>info: what an image is.</summary>
internal static class InfoCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-f FMT | --image-opts] [-b] [-U] [--object OBJDEF]
              [--output human|json] FILENAME

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -b, --backing-chain       tell of the backing files, too
          -U, --force-share         open the image even if somebody else is writing it
          --output human|json       for people (default) or for programs
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("backing-chain", 'b'),
        new("force-share", 'U'), new("output", '\0', ImgValue.Required), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var json = ImgImages.WantsJson(arguments);
        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        var inspector = new ImageInspector(context, arguments.Has("force-share"));
        var reports = await ReportsAsync(
            inspector, arguments.Operands[0], arguments.Has("image-opts"), arguments.Value("format"), arguments.Has("backing-chain")).ConfigureAwait(false);
        if (!json)
        {
            for (var i = 0; i < reports.Count; i++)
            {
                context.Output.Write((i > 0 ? "\n" : "") + InfoText.Of(reports[i]));
            }

            return 0;
        }

        var text = new JsonText();
        if (arguments.Has("backing-chain"))
        {
            text.BeginArray();
            foreach (var report in reports)
            {
                InfoJson.Add(text, null, report);
            }

            text.EndArray();
        }
        else
        {
            InfoJson.Add(text, null, reports[0]);
        }

        context.Output.Write(text + "\n");
        return 0;
    }

    private static async ValueTask<List<ImageReport>> ReportsAsync(
        ImageInspector inspector, string name, bool imageOptions, string? format, bool chain)
    {
        var reports = new List<ImageReport>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (true)
        {
            if (!seen.Add(name))
            {
                throw new ImgFailure($"The backing chain of '{reports[0].FileName}' comes back to '{name}'");
            }

            var report = await inspector.InspectAsync(name, imageOptions, format).ConfigureAwait(false);
            reports.Add(report);
            if (!chain || report.Header?.BackingFile is not { } backing)
            {
                return reports;
            }

            // A path with a colon in it is no protocol's name here.
            name = report.FullBackingName is { } full ? (FileNames.ProtocolOf(backing) is null ? FileNames.OfPath(full) : full)
                : throw new ImgFailure($"Where the backing file '{backing}' of '{report.FileName}' lies cannot be told");
            format = report.Header.BackingFormat;
            imageOptions = false;
        }
    }
}
