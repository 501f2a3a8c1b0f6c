using System.Globalization;
using Byre.Blockdev.Open;
using Byre.Blockdev.Options;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Create;

/// <summary>Turns a request into a plan: checks names and kinds of options, and looks at the backing file.</summary>
internal static class CreatePlanner
{
    // Formats that an image may name although they cannot be opened here.
    private static readonly string[] OtherFormats =
        ["bochs", "cloop", "dmg", "parallels", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc", "vvfat", "nbd", "ssh", "http", "https", "rbd"];

    /// <summary>Makes the plan.</summary>
    public static async ValueTask<CreatePlan> PlanAsync(ImageCreateRequest request)
    {
        var known = CreateOptions.InOrder(request.Format)
            ?? throw (DriverRegistry.Find(request.Format) is null
                ? Invalid($"Unknown file format '{request.Format}'")
                : new BlockException(ErrorCode.NotSupported, $"Images of the format '{request.Format}' cannot be created"));
        if (!NbdNames.IsNbd(request.FileName))
        {
            PathOf(request.FileName);
        }

        var values = Read(known, request);
        if (values.ContainsKey("size") && request.Size is not null)
        {
            throw Invalid("The image size is given twice");
        }

        SetBacking(known, request, values);
        var size = request.Size
            ?? (values.TryGetValue("size", out var text) ? long.Parse(text, CultureInfo.InvariantCulture) : null);
        size = await CheckBackingAsync(request, values, size).ConfigureAwait(false);
        if (size is null)
        {
            throw Invalid("The image needs a size");
        }

        if (size < 0)
        {
            throw Invalid("The size of an image is at least 0");
        }

        values["size"] = size.Value.ToString(CultureInfo.InvariantCulture);
        var shown = new List<KeyValuePair<string, string>>();
        foreach (var option in known)
        {
            if ((values.GetValueOrDefault(option.Name) ?? option.Default) is { } value)
            {
                shown.Add(new(option.Name, value));
            }
        }

        return new CreatePlan(request.FileName, request.Format, size.Value, shown) { Secrets = request.Secrets };
    }

    /// <summary>The path of a file that is to be created.</summary>
    /// <exception cref="BlockException">The name is none of a file.</exception>
    public static string PathOf(string name) => FileNames.PathOf(name) is { Length: > 0 } path
        ? path
        : throw Invalid(name.Length == 0 ? "The name of an image is empty" : $"'{name}' names no file: images can be created as files, and in NBD exports");

    /// <summary>An image may name the format, whether it can be opened here or not.</summary>
    public static bool IsKnown(string format) => DriverRegistry.Find(format) is not null || OtherFormats.Contains(format);

    private static Dictionary<string, string> Read(IReadOnlyList<CreateOption> known, ImageCreateRequest request)
    {
        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in request.Options)
        {
            given[key] = value ?? "on";
        }

        var set = new OptionSet(given);
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var option in known)
        {
            var value = option.Type switch
            {
                CreateOptionType.Switch => set.TakeSwitch(option.Name) switch
                {
                    null => null,
                    true => "on",
                    false => "off",
                },
                CreateOptionType.Size => set.TakeSize(option.Name)?.ToString(CultureInfo.InvariantCulture),
                CreateOptionType.Number => set.TakeNumber(option.Name)?.ToString(CultureInfo.InvariantCulture),
                _ => set.Take(option.Name),
            };
            if (value is not null)
            {
                values[option.Name] = value;
            }
        }

        if (set.Rest.Count > 0)
        {
            throw Invalid($"The format '{request.Format}' has no creation option '{set.Rest.Keys.Min(StringComparer.Ordinal)}'");
        }

        return values;
    }

    private static void SetBacking(IReadOnlyList<CreateOption> known, ImageCreateRequest request, Dictionary<string, string> values)
    {
        foreach (var (key, value) in new[] { ("backing_file", request.BackingFile), ("backing_fmt", request.BackingFormat) })
        {
            if (value is null)
            {
                continue;
            }

            values[key] = known.Any(o => o.Name == key)
                ? value
                : throw Invalid($"Images of the format '{request.Format}' have no backing file");
        }
    }

    private static async ValueTask<long?> CheckBackingAsync(ImageCreateRequest request, Dictionary<string, string> values, long? size)
    {
        values.TryGetValue("backing_fmt", out var format);
        if (!values.TryGetValue("backing_file", out var name))
        {
            return size;
        }

        if (name.Length == 0)
        {
            throw Invalid("The name of the backing file is empty");
        }

        if (name == request.FileName)
        {
            throw Invalid($"The image '{name}' cannot be its own backing file");
        }

        if (request.Unsafe)
        {
            return format is null
                ? throw Invalid($"The backing file '{name}' is given without its format")
                : !IsKnown(format)
                ? throw Invalid($"Unknown format '{format}' of the backing file '{name}'")
                : size;
        }

        try
        {
            var image = await OpenBackingAsync(request, name, format).ConfigureAwait(false);
            await using (image.ConfigureAwait(false))
            {
                return format is null
                    ? throw Invalid($"The backing file '{name}' is given without its format (it looks like {image.FormatName})")
                    : size ?? image.Edge.Length;
            }
        }
        catch (BlockException e) when (e.Code != ErrorCode.Invalid || format is not null)
        {
            throw new BlockException(e.Code, $"Could not open the backing file '{name}': {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }
    }

    private static ValueTask<OpenImage> OpenBackingAsync(ImageCreateRequest request, string name, string? format)
    {
        var path = FileNames.Resolve(NbdNames.IsNbd(request.FileName) ? "" : PathOf(request.FileName), name);
        return ImageOpener.OpenAsync(
            new OpenOptions
            {
                FileName = path is null ? name : FileNames.OfPath(path),
                Format = format,
                ReadOnly = true,
                Secrets = request.Secrets,
                Gate = request.Gate,
            },
            DefaultPermissions.ForUser(write: false));
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
