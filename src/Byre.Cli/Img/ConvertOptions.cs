using System.Globalization;

namespace Byre.Cli.Img;

/// <summary>What the command line of convert asks for, checked as far as it can be without opening an image.</summary>
internal sealed record ConvertOptions
{
    /// <summary>The option "sparse-size" when it is not given, in bytes.</summary>
    public const long DefaultSparseBytes = 4096;

    private const long GreatestSparseBytes = 16 << 20;
    private const int MostParallel = 16;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'),
        new("quiet", 'q'),
        new("progress", 'p', ImgValue.Optional),
        new("source-format", 'f', ImgValue.Required),
        new("source-image-opts", '\0'),
        new("image-opts", '\0'),
        new("source-snapshot", 'l', ImgValue.Required),
        new("source-cache", 'T', ImgValue.Required),
        new("target-format", 'O', ImgValue.Required),
        new("target-image-opts", '\0'),
        new("target-options", 'o', ImgValue.Required),
        new("compress", 'c'),
        new("target-cache", 't', ImgValue.Required),
        new("backing", 'B', ImgValue.Required),
        new("backing-format", 'F', ImgValue.Required),
        new("no-create", 'n'),
        new("target-is-zero", '\0'),
        new("sparse-size", 'S', ImgValue.Required),
        new("bitmaps", '\0'),
        new("skip-broken-bitmaps", '\0'),
        new("force-share", 'U'),
        new("rate", 'r', ImgValue.Required),
        new("parallel", 'm', ImgValue.Required),
        new("copy-range-offloading", 'C'),
        new("salvage", '\0'),
        new("oob-writes", 'W'),
        new("object", '\0', ImgValue.Required),
    ];

    /// <summary>The words as given.</summary>
    public required ImgArguments Arguments { get; init; }

    /// <summary>The sources' names, in their order.</summary>
    public required IReadOnlyList<string> Sources { get; init; }

    /// <summary>The target's name; null where nothing but help is asked for.</summary>
    public required string? Target { get; init; }

    /// <summary>The sources' format; null to look.</summary>
    public string? SourceFormat { get; init; }

    /// <summary>The sources' names are options.</summary>
    public bool SourceImageOpts { get; init; }

    /// <summary>A snapshot of the source, or null.</summary>
    public string? Snapshot { get; init; }

    /// <summary>The sources' cache mode.</summary>
    public string SourceCache { get; init; } = "writeback";

    /// <summary>The target's format; null with <see cref="TargetImageOpts"/>.</summary>
    public string? TargetFormat { get; init; }

    /// <summary>The target's name is options.</summary>
    public bool TargetImageOpts { get; init; }

    /// <summary>The lists of -o, in their order.</summary>
    public IReadOnlyList<string> TargetOptions { get; init; } = [];

    /// <summary>One of those lists asks for help.</summary>
    public bool WantsOptionHelp { get; init; }

    /// <summary>The target's cache mode.</summary>
    public string TargetCache { get; init; } = "unsafe";

    /// <summary>The target's backing file, or null.</summary>
    public string? Backing { get; init; }

    /// <summary>Its format, or null.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>Store compressed.</summary>
    public bool Compress { get; init; }

    /// <summary>The target exists.</summary>
    public bool NoCreate { get; init; }

    /// <summary>The target reads as zeroes.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>Zeroes are looked for at this size; 0: not at all.</summary>
    public long SparseBytes { get; init; } = DefaultSparseBytes;

    /// <summary>Others may change the sources meanwhile.</summary>
    public bool ForceShare { get; init; }

    /// <summary>Bytes a second; 0 for no limit.</summary>
    public long Rate { get; init; }

    /// <summary>The most chunks in flight.</summary>
    public int Parallel { get; init; } = 8;

    /// <summary>The kernel may copy.</summary>
    public bool CopyRange { get; init; }

    /// <summary>Unreadable sectors become zeroes.</summary>
    public bool Salvage { get; init; }

    /// <summary>Writes in any order.</summary>
    public bool OutOfOrder { get; init; }

    /// <summary>Reads and checks the command line.</summary>
    /// <param name="words">What follows the verb.</param>
    /// <exception cref="ImgUsageException">It is not understood.</exception>
    /// <exception cref="ImgFailure">It contradicts itself, or asks for what is not there.</exception>
    public static ConvertOptions Parse(IReadOnlyList<string> words)
    {
        var a = ImgArguments.Parse(words, Specs);
        var lists = a.Values("target-options");
        foreach (var list in lists)
        {
            CheckList(list);
        }

        var targetImageOpts = a.Has("target-image-opts");
        var operands = a.Operands;
        var result = new ConvertOptions
        {
            Arguments = a,
            Sources = operands.Count > 1 ? [.. operands.Take(operands.Count - 1)] : [],
            Target = operands.Count > 1 ? operands[^1] : null,
            SourceFormat = a.Value("source-format"),
            SourceImageOpts = a.Has("image-opts") || a.Has("source-image-opts"),
            Snapshot = a.Value("source-snapshot"),
            SourceCache = a.Value("source-cache") ?? "writeback",
            TargetFormat = a.Value("target-format") ?? (targetImageOpts ? null : "raw"),
            TargetImageOpts = targetImageOpts,
            TargetOptions = lists,
            WantsOptionHelp = lists.Exists(HasHelp),
            TargetCache = a.Value("target-cache") ?? "unsafe",
            Backing = a.Value("backing"),
            BackingFormat = a.Value("backing-format"),
            Compress = a.Has("compress"),
            NoCreate = a.Has("no-create"),
            TargetIsZero = a.Has("target-is-zero"),
            SparseBytes = a.Value("sparse-size") is { } sparse ? ParseSparse(sparse) : DefaultSparseBytes,
            ForceShare = a.Has("force-share"),
            Rate = a.Value("rate") is { } rate ? ImgSize.Parse(rate, "rate limit") : 0,
            Parallel = a.Value("parallel") is { } parallel ? ParseParallel(parallel) : 8,
            CopyRange = a.Has("copy-range-offloading"),
            Salvage = a.Has("salvage"),
            OutOfOrder = a.Has("oob-writes"),
        };
        if (!a.Has("help"))
        {
            result.Check();
        }

        return result;
    }

    private void Check()
    {
        if (SourceImageOpts && SourceFormat is not null)
        {
            throw new ImgFailure("--image-opts and --source-format (-f) exclude each other");
        }

        if (Arguments.Has("skip-broken-bitmaps") && !Arguments.Has("bitmaps"))
        {
            throw new ImgFailure("--skip-broken-bitmaps needs --bitmaps");
        }

        if (Arguments.Has("bitmaps") && Sources.Count > 1)
        {
            throw new ImgFailure("--bitmaps copies the bitmaps of one image, and several are joined");
        }

        if (CopyRange && (Compress || Arguments.Has("sparse-size") || Salvage))
        {
            throw new ImgFailure($"Copying in the kernel (-C) excludes {(Compress ? "compression (-c)" : Salvage ? "--salvage" : "looking for zeroes (-S)")}");
        }

        if (TargetImageOpts && Arguments.Has("target-format"))
        {
            throw new ImgFailure("--target-image-opts and --target-format (-O) exclude each other");
        }

        if (TargetImageOpts && !NoCreate)
        {
            throw new ImgFailure("--target-image-opts needs -n: such a target is not created");
        }

        if (NoCreate && TargetOptions.Count > 0 && !WantsOptionHelp)
        {
            throw new ImgFailure("-o means nothing where the target is not created (-n)");
        }

        if (TargetIsZero && !NoCreate)
        {
            throw new ImgFailure("--target-is-zero needs -n");
        }

        if (Sources.Count == 0 && !WantsOptionHelp)
        {
            throw new ImgFailure("Name the images to read, and the target behind them");
        }
    }

    private static long ParseSparse(string text)
    {
        var value = ImgSize.Parse(text, "size for sparse areas");
        return value % 512 == 0 && value <= GreatestSparseBytes
            ? value
            : throw new ImgFailure(
                $"Invalid size for sparse areas '{text}': it must be a multiple of 512 up to {GreatestSparseBytes}, or 0 to allocate everything");
    }

    private static int ParseParallel(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value is >= 1 and <= MostParallel
            ? value
            : throw new ImgFailure($"Invalid number of parallel requests '{text}': it must be between 1 and {MostParallel}");

    private static void CheckList(string list)
    {
        // A list that is empty, or begins or ends with a single comma, is a slip.
        var commas = list.Length - list.TrimEnd(',').Length;
        if (list.Length == 0 || (list[0] == ',' && !list.StartsWith(",,", StringComparison.Ordinal)) || commas % 2 != 0)
        {
            throw new ImgFailure($"Invalid list of options: '{list}'");
        }
    }

    private static bool HasHelp(string list) => list.Split(',').Any(o => o is "help" or "?");
}
