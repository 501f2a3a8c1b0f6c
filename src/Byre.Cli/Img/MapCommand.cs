using System.Globalization;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>map: where the data of an image lies, in which file of its chain.</summary>
internal static class MapCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-f FMT | --image-opts] [-U] [--object OBJDEF] [--output human|json]
              [--start-offset OFFSET] [--max-length LENGTH] FILENAME

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          --start-offset OFFSET     begin there
          --max-length LENGTH       look at so many bytes at most
          --output human|json       a table of the data (default), or everything as JSON
          -U, --force-share         open the image even if somebody else is writing it
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("output", '\0', ImgValue.Required),
        new("start-offset", 's', ImgValue.Required), new("max-length", 'l', ImgValue.Required), new("force-share", 'U'),
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

        var json = ImgImages.WantsJson(arguments);
        var start = arguments.Value("start-offset") is { } s ? ImgSize.Parse(s, "start offset") : 0;
        var most = arguments.Value("max-length") is { } m ? ImgSize.Parse(m, "maximum length") : long.MaxValue;
        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        var share = arguments.Has("force-share");
        var image = await ImgImages.OpenAsync(
            arguments.Operands[0],
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), share),
            ImgImages.Reading(share)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            var chain = new BackingChain(image.Edge);
            var precision = await PreallocationProbe.PrecisionForAsync(chain).ConfigureAwait(false);
            var reader = new StatusReader(chain, precision);

            // What fills up the last sector belongs to files and raw images: the other formats say themselves where a disk ends.
            var length = BackingChain.SkipFilters(image.Node) is IBackedNode ? chain.Length : reader.Length;
            var end = most > length - start ? Math.Max(start, length) : start + most;
            return json ? await JsonAsync(context, reader, start, end).ConfigureAwait(false)
                : await TableAsync(context, arguments.Operands[0], reader, start, end).ConfigureAwait(false);
        }
    }

    private static async ValueTask<int> JsonAsync(ImgContext context, StatusReader reader, long start, long end)
    {
        context.Output.Write("[");
        var at = start;
        do
        {
            context.Stopping.ThrowIfCancellationRequested();
            var status = at < end ? await reader.AtAsync(at, end).ConfigureAwait(false) : new BlockStatus(at, 0, 0, false, false, false, false, -1, null);
            at = status.End;
            context.Output.Write(Line(Shown(status)));
            context.Output.Write(at < end ? ",\n" : "]\n");
        }
        while (at < end);
        return 0;
    }

    /// <summary>Null-co without read-zeroes holds nothing and promises nothing, and QEMU's tools print that.</summary>
    private static BlockStatus Shown(in BlockStatus status) => status is { File: NullNode, Zero: false }
        ? status with { Present = false, Data = false, Offset = -1 } : status;

    private static string Line(in BlockStatus status) => string.Create(
        CultureInfo.InvariantCulture,
        $"{{ \"start\": {status.Start}, \"length\": {status.Length}, \"depth\": {status.Depth}, \"present\": {Word(status.Present)}, ")
        + $"\"zero\": {Word(status.Zero)}, \"data\": {Word(status.Data)}, \"compressed\": {Word(status.Compressed)}"
        + (status.Offset < 0 ? "}" : string.Create(CultureInfo.InvariantCulture, $", \"offset\": {status.Offset}}}"));

    private static string Word(bool value) => value ? "true" : "false";

    private static async ValueTask<int> TableAsync(ImgContext context, string name, StatusReader reader, long start, long end)
    {
        context.Output.Write($"{"Offset",-16}{"Length",-16}{"Mapped to",-16}File\n");
        for (var at = start; at < end;)
        {
            context.Stopping.ThrowIfCancellationRequested();
            var status = Shown(await reader.AtAsync(at, end).ConfigureAwait(false));
            at = status.End;
            if (status.Data && status.Offset < 0)
            {
                context.Error($"The image '{name}' has clusters that are compressed or encrypted, or in no file, which this table cannot show: use --output json");
                return 1;
            }

            if (status is { Data: true, Zero: false })
            {
                context.Output.Write($"{Hex(status.Start),-16}{Hex(status.Length),-16}{Hex(status.Offset),-16}{status.File?.FileName}\n");
            }
        }

        return 0;
    }

    private static string Hex(long value) => value == 0 ? "0" : "0x" + value.ToString("x", CultureInfo.InvariantCulture);
}
