using System.Globalization;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>resize: makes an image longer or shorter.</summary>
internal static class ResizeCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-f FMT | --image-opts] [--preallocation MODE] [--shrink]
              [--object OBJDEF] FILENAME [+-]SIZE

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          --preallocation MODE      what is allocated of the new part: off, metadata, falloc or full
          --shrink                  allow a smaller size; what lies beyond it is lost
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)
          SIZE                      the new size in bytes, or with + or - the change; k, M, G, T, P and E are
                                    powers of 1024

        """;

    private const int Sector = 512;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("shrink", '\0'),
        new("preallocation", '\0', ImgValue.Required), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        if (words.Count == 1)
        {
            // A lone option, or a name without a size.
            if (ImgArguments.Parse(words, Specs).Has("help"))
            {
                throw new ImgHelpWanted();
            }
        }

        if (words.Count < 2)
        {
            throw new ImgUsageException("name an image and its new size");
        }

        // The size may begin with a minus: it is the last word, whatever it looks like.
        var size = words[^1];
        var arguments = ImgArguments.Parse([.. words.Take(words.Count - 1)], Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var preallocation = arguments.Value("preallocation") switch
        {
            null or "off" => Preallocation.Off,
            "metadata" => Preallocation.Metadata,
            "falloc" => Preallocation.Falloc,
            "full" => Preallocation.Full,
            var other => throw new ImgFailure($"There is no preallocation mode '{other}': it is off, metadata, falloc or full"),
        };
        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name an image and its new size");
        }

        ImgImages.CheckFormat(arguments, "format");
        var sign = size.StartsWith('+') ? 1 : size.StartsWith('-') ? -1 : 0;
        var amount = ImgSize.Parse(sign == 0 ? size : size[1..], "size");
        var name = arguments.Operands[0];
        var image = await ImgImages.OpenAsync(
            name,
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), forceShare: false) with { ReadOnly = false },
            DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            await ResizeAsync(image.Edge, name, sign, amount, preallocation, arguments.Has("shrink")).ConfigureAwait(false);
        }

        if (!arguments.Has("quiet"))
        {
            context.Output.Write("Image resized.\n");
        }

        return 0;
    }

    private static async ValueTask ResizeAsync(
        BlockEdge edge, string name, int sign, long amount, Preallocation preallocation, bool mayShrink)
    {
        var before = edge.Length;
        var wanted = sign == 0 ? amount : before + ((Int128)sign * amount);
        if (wanted <= 0 || wanted > long.MaxValue)
        {
            throw new ImgFailure($"'{name}' cannot have {wanted.ToString(CultureInfo.InvariantCulture)} bytes: the new size must be positive and below 8E");
        }

        var after = (long)wanted;
        if (after <= before && preallocation != Preallocation.Off)
        {
            throw new ImgFailure($"'{name}' does not grow: preallocation is for new space only");
        }

        if (after < before && !mayShrink)
        {
            throw new ImgFailure(
                $"'{name}' has {before} bytes: making it smaller loses what lies beyond {after}; give --shrink if that is wanted");
        }

        try
        {
            await edge.ResizeAsync(after, preallocation).ConfigureAwait(false);
            await edge.FlushAsync().ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not resize"), 1, e);
        }

        if (edge.Length == before && after <= before - Sector)
        {
            throw new ImgFailure($"'{name}' keeps its length of {edge.Length} bytes: a device cannot be made shorter");
        }
    }
}
