using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The file name syntax of the drivers for tests: "blkdebug:CONFIG:IMAGE" and "blkverify:RAW:IMAGE".</summary>
public static class FilterFileNames
{
    private const string Blkdebug = "blkdebug:";
    private const string Blkverify = "blkverify:";

    /// <summary>Turns such a name into options; CONFIG may be empty.</summary>
    /// <returns>Null where the name has another form.</returns>
    /// <exception cref="BlockException">The second colon is missing.</exception>
    public static IReadOnlyDictionary<string, string>? Parse(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        if (name.StartsWith(Blkdebug, StringComparison.Ordinal))
        {
            var (config, image) = Split(name, Blkdebug, "a config file and an image");
            options["driver"] = "blkdebug";
            options["image.filename"] = image;
            if (config.Length > 0)
            {
                options["config"] = config;
            }

            return options;
        }

        if (name.StartsWith(Blkverify, StringComparison.Ordinal))
        {
            var (raw, image) = Split(name, Blkverify, "a raw copy and an image");
            options["driver"] = "blkverify";
            options["raw.driver"] = "raw";
            options["raw.file.filename"] = raw;
            options["test.filename"] = image;
            return options;
        }

        return null;
    }

    private static (string First, string Second) Split(string name, string prefix, string needs)
    {
        var colon = name.IndexOf(':', prefix.Length);
        return colon < 0
            ? throw new BlockException(ErrorCode.Invalid, $"{prefix[..^1]} needs {needs}, with a colon between", name)
            : (name[prefix.Length..colon], name[(colon + 1)..]);
    }
}
