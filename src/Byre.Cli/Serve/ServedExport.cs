using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Serve;

/// <summary>One export as the command line asks for it.</summary>
internal sealed record ServedExport
{
    /// <summary>The export's name.</summary>
    public string Name { get; init; } = "";

    /// <summary>A text about it, or null.</summary>
    public string? Description { get; init; }

    /// <summary>The image's name; null where <see cref="Options"/> say it all.</summary>
    public string? FileName { get; init; }

    /// <summary>The name is a list of options (--image-opts).</summary>
    public bool IsImageOptions { get; init; }

    /// <summary>Options of the image's drivers.</summary>
    public IReadOnlyDictionary<string, string> Options { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>The image's format; null to look.</summary>
    public string? Format { get; init; }

    /// <summary>Clients may not change it.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Changes go to a temporary image, and are gone with the server (-s).</summary>
    public bool IsTemporary { get; init; }

    /// <summary>The internal snapshot that is shown (-l), or null.</summary>
    public SnapshotSelector? LoadedSnapshot { get; init; }

    /// <summary>How the host's page cache is used.</summary>
    public CacheMode Cache { get; init; }

    /// <summary>Discards give space back.</summary>
    public bool DiscardUnmap { get; init; }

    /// <summary>What becomes of zeroes that are written: off, on, unmap; null for off.</summary>
    public string? DetectZeroes { get; init; }

    /// <summary>The first byte of the image that is shown.</summary>
    public long Offset { get; init; }

    /// <summary>How many bytes are shown; null for all that follow.</summary>
    public long? Length { get; init; }

    /// <summary>The depth of layers is told (-A).</summary>
    public bool HasDepth { get; init; }

    /// <summary>The bitmaps that are shown (-B).</summary>
    public IReadOnlyList<string> Bitmaps { get; init; } = [];

    /// <summary>Clients may change the image's length.</summary>
    public bool CanResize { get; init; }

    /// <summary>What a person knows the image by.</summary>
    public string Title => FileName ?? Options.GetValueOrDefault("file.filename") ?? Options.GetValueOrDefault("filename") ?? $"export '{Name}'";

    /// <summary>Reads --export: "name=...,file=...,...".</summary>
    /// <param name="text">Keys of an export; others are options of the image's drivers.</param>
    /// <param name="common">What holds unless the text says something else.</param>
    /// <exception cref="ImgFailure">A value is not valid.</exception>
    public static ServedExport Parse(string text, ServedExport common)
    {
        var export = common with { Format = null };
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        var bitmaps = new List<string>();
        foreach (var (key, given) in OptionTree.ParseList(text))
        {
            var value = given ?? "on";
            export = key switch
            {
                "name" => export with { Name = ServeOptions.CheckText(value, "export name") },
                "description" => export with { Description = ServeOptions.CheckText(value, "description") },
                "file" when given is not null => export with { FileName = value },
                "format" => export with { Format = value },
                "read-only" => export with { ReadOnly = Switch(key, value) },
                "temporary" => export with { IsTemporary = Switch(key, value) },
                "load-snapshot" => export with { LoadedSnapshot = SnapshotSource.Parse(value), ReadOnly = true },
                "cache" => export with { Cache = ImgImages.Cache(value) },
                "discard" => export with { DiscardUnmap = Discards(value) },
                "detect-zeroes" => export with { DetectZeroes = value },
                "offset" => export with { Offset = ImgSize.Parse(value, "offset") },
                "size" => export with { Length = ImgSize.Parse(value, "size") },
                "allocation-depth" => export with { HasDepth = Switch(key, value) },
                "resize" => export with { CanResize = Switch(key, value) },
                "bitmap" => AddBitmap(value),
                _ => AddOption(key, value),
            };
        }

        if (export.FileName is null && options.Count == 0)
        {
            throw new ImgFailure($"--export '{text}' names no image: 'file=NAME', or options of its drivers, are missing");
        }

        // Who names the driver has said all about the format.
        var format = export.Format ?? (options.ContainsKey("driver") ? null : common.Format);
        return (export with { Format = format, Options = options, Bitmaps = bitmaps.Distinct().ToList() }).Checked();

        ServedExport AddBitmap(string name)
        {
            bitmaps.Add(name);
            return export;
        }

        ServedExport AddOption(string key, string value)
        {
            options[key] = value;
            return export;
        }
    }

    /// <summary>Discards give space back, in the words of --discard.</summary>
    /// <exception cref="ImgFailure">It is none of them.</exception>
    public static bool Discards(string word) => word switch
    {
        "unmap" or "on" => true,
        "ignore" or "off" => false,
        _ => throw new ImgFailure($"there is no mode '{word}' of --discard: it is ignore (off) or unmap (on)"),
    };

    /// <summary>Itself, where what it says goes together.</summary>
    /// <exception cref="ImgFailure">It does not.</exception>
    public ServedExport Checked()
    {
        if (DetectZeroes is not (null or "off" or "on" or "unmap"))
        {
            throw new ImgFailure($"there is no mode '{DetectZeroes}' of --detect-zeroes: it is off, on or unmap");
        }

        if (DetectZeroes == "unmap" && !DiscardUnmap)
        {
            throw new ImgFailure("--detect-zeroes=unmap needs --discard=unmap");
        }

        return LoadedSnapshot is not null && IsTemporary
            ? throw new ImgFailure("an internal snapshot is read only: --load-snapshot and --snapshot exclude each other")
            : this;
    }

    private static bool Switch(string key, string value) => value switch
    {
        "on" or "yes" or "true" or "y" => true,
        "off" or "no" or "false" or "n" => false,
        _ => throw new ImgFailure($"'{value}' is no value for '{key}' of an export: it is on or off"),
    };
}
