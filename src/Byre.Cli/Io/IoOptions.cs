namespace Byre.Cli.Io;

/// <summary>The applet's own options.</summary>
internal sealed record IoOptions
{
    /// <summary>The commands to run; empty to read them from standard input.</summary>
    public IReadOnlyList<string> Commands { get; init; } = [];

    /// <summary>How to open the image that was named.</summary>
    public IoOpenRequest Request { get; init; } = new();

    /// <summary>The file operand is an option string.</summary>
    public bool ImageOpts { get; init; }

    /// <summary>Definitions of objects (secrets).</summary>
    public IReadOnlyList<string> Objects { get; init; } = [];

    /// <summary>The operands.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Print the help.</summary>
    public bool WantsHelp { get; init; }

    /// <summary>Print the version.</summary>
    public bool WantsVersion { get; init; }

    /// <summary>What is wrong with the command line, or null.</summary>
    public string? Error { get; init; }

    /// <summary>The usage text belongs to the error.</summary>
    public bool ErrorShowsUsage { get; init; }

    private static readonly Dictionary<string, char> LongNames = new(StringComparer.Ordinal)
    {
        ["help"] = 'h',
        ["version"] = 'V',
        ["cmd"] = 'c',
        ["format"] = 'f',
        ["read-only"] = 'r',
        ["snapshot"] = 's',
        ["nocache"] = 'n',
        ["copy-on-read"] = 'C',
        ["misalign"] = 'm',
        ["native-aio"] = 'k',
        ["aio"] = 'i',
        ["discard"] = 'd',
        ["cache"] = 't',
        ["trace"] = 'T',
        ["force-share"] = 'U',
        ["object"] = 'O',
        ["image-opts"] = 'I',
    };

    /// <summary>Reads the command line, in which options may stand anywhere.</summary>
    public static IoOptions Parse(IReadOnlyList<string> args)
    {
        if (!IoArguments.TryParse(Unlengthen(args, out var unknown), "hVc:d:f:rsnCmki:t:T:UO:I", out var parsed, out var error) || unknown is not null)
        {
            return new IoOptions { Error = unknown ?? error![2..], ErrorShowsUsage = true };
        }

        var request = new IoOpenRequest();
        foreach (var (letter, value) in parsed.Options)
        {
            request = request.With(letter, value);
        }

        var files = parsed.Operands;
        var imageOpts = parsed.Has('I');
        return new IoOptions
        {
            Commands = Values(parsed, 'c'),
            Objects = Values(parsed, 'O'),
            Request = files.Count != 1 ? request
                : imageOpts ? request with { Options = [files[0]] }
                : request with { FileName = files[0] },
            ImageOpts = imageOpts,
            Files = files,
            WantsHelp = parsed.Has('h'),
            WantsVersion = parsed.Has('V'),
            Error = files.Count > 1 ? "more than one image was named" : Complaint(request, imageOpts && files.Count > 0),
            ErrorShowsUsage = files.Count > 1,
        };
    }

    private static string? Complaint(IoOpenRequest request, bool imageOpts) =>
        IoModes.Complaint(request)
        ?? (imageOpts && request.Format is not null ? "--image-opts and -f exclude each other" : null);

    private static List<string> Values(IoArguments arguments, char letter) =>
        [.. arguments.Options.Where(o => o.Letter == letter).Select(o => o.Value!)];

    /// <summary>Puts short options for long ones; those may be cut short as long as they are clear.</summary>
    private static List<string> Unlengthen(IReadOnlyList<string> args, out string? error)
    {
        var words = new List<string> { "" };
        error = null;
        var ended = false;
        foreach (var arg in args)
        {
            ended |= string.Equals(arg, "--", StringComparison.Ordinal);
            if (ended || !arg.StartsWith("--", StringComparison.Ordinal))
            {
                words.Add(arg);
                continue;
            }

            var equals = arg.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? arg[2..] : arg[2..equals];
            var matches = LongNames.ContainsKey(name)
                ? [name]
                : LongNames.Keys.Where(k => k.StartsWith(name, StringComparison.Ordinal)).ToArray();
            if (matches.Length != 1)
            {
                error ??= matches.Length == 0 ? $"unknown option '--{name}'" : $"'--{name}' could be {string.Join(" or ", matches.Select(m => "--" + m))}";
                continue;
            }

            words.Add("-" + LongNames[matches[0]] + (equals < 0 ? "" : arg[(equals + 1)..]));
        }

        return words;
    }
}
