using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>Opens the images that a command line names.</summary>
internal static class ImgImages
{
    /// <summary>Opens an image.</summary>
    /// <param name="name">A file name, a "json:" name or, with <paramref name="imageOptions"/>, a list of options.</param>
    /// <param name="imageOptions">The name is a list of options (--image-opts).</param>
    /// <param name="options">All but the name; options in the name go before those here.</param>
    /// <param name="permissions">What the tool does with it.</param>
    /// <exception cref="ImgFailure">It cannot be opened: one line that names it and the cause.</exception>
    public static async ValueTask<OpenImage> OpenAsync(string name, bool imageOptions, OpenOptions options, PermissionSet permissions)
    {
        try
        {
            if (imageOptions)
            {
                var list = new Dictionary<string, string>(options.Options, StringComparer.Ordinal);
                OptionTree.AddList(list, name);
                options = options with { Options = list };
            }
            else
            {
                options = options with { FileName = name };
            }

            return await ImageOpener.OpenAsync(options, permissions).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(Naming(e.Message, name, "Could not open"), 1, e);
        }
    }

    /// <summary>Options for looking at an image: reading only, everything it names is opened.</summary>
    public static OpenOptions ForReading(ImgContext context, string? format, bool forceShare) => new()
    {
        Format = format,
        ReadOnly = true,
        ForceShare = forceShare,
        Gate = OpenGate.AllowAll,
        Warn = context.Note,
        Objects = context.Objects,
        BlockingIo = true,
    };

    /// <summary>What a reader uses and shares.</summary>
    public static PermissionSet Reading(bool forceShare) => forceShare ? DefaultPermissions.ForceShare : DefaultPermissions.ForUser(write: false);

    /// <summary>The cache mode of -t or -T.</summary>
    /// <exception cref="ImgFailure">There is no such mode.</exception>
    public static CacheMode Cache(string? name) =>
        CacheMode.Parse(name ?? "writeback") ?? throw new ImgFailure($"There is no cache mode '{name}': it is none, writeback, writethrough, directsync or unsafe");

    /// <summary>Puts the image's name and what was tried before a message that does not name the image.</summary>
    public static string Naming(string message, string name, string tried) =>
        message.Contains($"'{name}'", StringComparison.Ordinal) ? message : $"{tried} '{name}': {message}";

    /// <summary>-f and --image-opts exclude each other.</summary>
    /// <exception cref="ImgFailure">Both were given.</exception>
    public static void CheckFormat(ImgArguments arguments, params ReadOnlySpan<string> formats)
    {
        foreach (var format in formats)
        {
            if (arguments.Has("image-opts") && arguments.Has(format))
            {
                throw new ImgFailure($"--image-opts and --{format} exclude each other");
            }
        }
    }

    /// <summary>--output: human or json.</summary>
    /// <returns>True for JSON.</returns>
    /// <exception cref="ImgUsageException">It is neither.</exception>
    public static bool WantsJson(ImgArguments arguments) => arguments.Value("output") switch
    {
        null or "human" => false,
        "json" => true,
        var other => throw new ImgUsageException($"--output is 'human' or 'json', not '{other}'"),
    };
}
