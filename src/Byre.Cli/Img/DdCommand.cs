using Byre.Blockdev;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>dd: copies a run of blocks to an image that is made for it.</summary>
internal static class DdCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-f FMT | --image-opts] [-O FMT] [-U] [--object OBJDEF]
              [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT

        Copies blocks of INPUT to OUTPUT, which is made for them. Zeroes are not stored.

          -f, --format FMT          the input's format (looked for if not given)
          --image-opts              INPUT is a list of options, not a file name
          -O, --output-format FMT   the output's format (default raw)
          -U, --force-share         others may have the input open for writing
          bs=SIZE                   bytes of a block (default 512); k, M and G are powers of 1024
          count=BLOCKS              where the copy ends, counted from the input's front
          skip=BLOCKS               blocks that are left out at the input's front
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("output-format", 'O', ImgValue.Required),
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

        var operands = DdOperands.Parse(arguments.Operands);
        ImgObjects.Load(context, arguments);
        ImgImages.CheckFormat(arguments, "format");
        if (operands.Input is not { } input || operands.Output is not { } output)
        {
            throw new ImgFailure("dd needs an input and an output: if=INPUT of=OUTPUT");
        }

        var options = new ConvertOptions
        {
            Arguments = arguments,
            Sources = [input],
            Target = output,
            SourceFormat = arguments.Value("format"),
            SourceImageOpts = arguments.Has("image-opts"),
            TargetFormat = arguments.Value("output-format") ?? "raw",
            ForceShare = arguments.Has("force-share"),
        };
        try
        {
            await CopyAsync(context, options, operands).ConfigureAwait(false);
        }
        catch
        {
            context.Targets.RemoveAll();
            throw;
        }

        return 0;
    }

    private static async Task CopyAsync(ImgContext context, ConvertOptions options, DdOperands operands)
    {
        var sources = await ConvertSources.OpenAsync(options, CacheMode.Writeback, context).ConfigureAwait(false);
        await using (sources.ConfigureAwait(false))
        {
            var (offset, length, isBeyond) = operands.Of(sources.Length);
            if (isBeyond)
            {
                context.Error($"'{operands.Input}' has nothing behind what is skipped");
            }

            var image = await new ConvertTarget(options, context).OpenAsync(sources, CacheMode.Writeback, length).ConfigureAwait(false);
            try
            {
                await FillAsync(context, sources, image, offset, length).ConfigureAwait(false);
            }
            catch
            {
                await CloseQuietlyAsync(image).ConfigureAwait(false);
                throw;
            }

            await image.DisposeAsync().ConfigureAwait(false);
            context.Targets.ForgetAll();
        }
    }

    private static async Task FillAsync(ImgContext context, ConvertSources sources, OpenImage image, long offset, long length)
    {
        // Killed meanwhile, nobody can take the target for a whole one.
        var mark = image.Node as IIncompleteMark;
        if (mark is not null)
        {
            await mark.MarkIncompleteAsync().ConfigureAwait(false);
        }

        await new CopyEngine(sources.Edges, image.Edge, new CopyOptions
        {
            OnCallersThread = true,
            SourceOffset = offset,
            SourceLength = length,
            ReadsUnknown = true,
            TargetIsZero = !ConvertTarget.IsUnknownWhenNew(image.Node),
        }).RunAsync(context.Stopping).ConfigureAwait(false);
        if (mark is not null)
        {
            await mark.MarkCompleteAsync().ConfigureAwait(false);
        }
    }

    private static async Task CloseQuietlyAsync(OpenImage image)
    {
        try
        {
            await image.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // Why the copy failed is what the user hears of.
        }
    }
}
