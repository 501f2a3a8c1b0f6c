using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>create: makes an image.</summary>
internal static class CreateCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-f FMT] [-o OPTIONS] [-b BACKING [-F BACKING_FMT]] [-u]
              [--object OBJDEF] FILENAME [SIZE]

          -f, --format FMT          the new image's format, raw if not given
          -o, --options OPTIONS     the format's options, 'name=value,...'; 'help' lists them
          -b, --backing BACKING     the backing file; its size is the image's if none is given
          -F, --backing-format FMT  the backing file's format
          -u, --backing-unsafe      do not look at the backing file: it need not be there
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)
          SIZE                      bytes; k, M, G, T, P and E are powers of 1024

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("format", 'f', ImgValue.Required), new("options", 'o', ImgValue.Required),
        new("backing", 'b', ImgValue.Required), new("backing-format", 'F', ImgValue.Required), new("backing-unsafe", 'u'),
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
        var format = arguments.Value("format") ?? "raw";
        var operands = arguments.Operands;
        var options = ImgOptions.Read(arguments, "options", out var wantsHelp);
        if (wantsHelp)
        {
            context.Output.Write(ImgOptions.Describe(format, withFile: operands.Count > 0));
            return 0;
        }

        if (operands.Count is 0 or > 2)
        {
            throw new ImgUsageException(operands.Count == 0 ? "name the new image" : $"'{operands[2]}' is one word too many");
        }

        var name = operands[0];
        var size = operands.Count > 1 ? ImgSize.Parse(operands[1], "image size") : (long?)null;
        try
        {
            var plan = await ImageCreator.PlanAsync(new ImageCreateRequest
            {
                FileName = name,
                Format = format,
                Size = size,
                Options = options,
                BackingFile = arguments.Value("backing"),
                BackingFormat = arguments.Value("backing-format"),
                Secrets = context.Secrets,
                Unsafe = arguments.Has("backing-unsafe"),
                Gate = OpenGate.AllowAll,
            }).ConfigureAwait(false);
            if (!arguments.Has("quiet"))
            {
                context.Output.Write(plan.FormattingLine + "\n");
                context.Output.Flush();
            }

            await CreateAsync(context, plan).ConfigureAwait(false);
            return 0;
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not create"), 1, e);
        }
    }

    /// <summary>Creates it; a new file is removed if that is interrupted.</summary>
    private static async ValueTask CreateAsync(ImgContext context, CreatePlan plan)
    {
        var path = FileNames.PathOf(plan.FileName);
        var isNew = path is { Length: > 0 } && !File.Exists(path);
        if (isNew)
        {
            context.Targets.AddNew(path!);
        }

        try
        {
            await ImageCreator.CreateAsync(plan).ConfigureAwait(false);
        }
        finally
        {
            // It is complete, or was removed by who failed to make it.
            if (isNew)
            {
                context.Targets.Forget(path!);
            }
        }
    }
}
