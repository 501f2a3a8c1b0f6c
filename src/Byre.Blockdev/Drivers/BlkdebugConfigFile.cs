using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>
/// The blkdebug driver's configuration file: sections <c>[inject-error]</c> and <c>[set-state]</c>, which may carry a
/// quoted name, with lines <c>key = "value"</c>. Lines that are empty or begin with # say nothing.
/// </summary>
internal static class BlkdebugConfigFile
{
    /// <summary>Turns the file's text into options as the driver takes them ("inject-error.0.event").</summary>
    /// <param name="text">The whole file.</param>
    /// <param name="name">The file's name, for errors.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>, naming file and line.</exception>
    public static IReadOnlyList<KeyValuePair<string, string>> Parse(string text, string name)
    {
        var result = new List<KeyValuePair<string, string>>();
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        string? section = null;
        var number = 0;
        foreach (var raw in text.Split('\n'))
        {
            number++;
            var line = raw.TrimEnd();
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            if (line[0] == '[')
            {
                section = SectionName(line) ?? throw Invalid(name, number, "is no section");
                if (section is not ("inject-error" or "set-state"))
                {
                    throw Invalid(name, number, $"names an unknown section '{section}'");
                }

                var index = counts.GetValueOrDefault(section);
                counts[section] = index + 1;
                section = $"{section}.{index}";
                result.Add(new(section, ""));
                continue;
            }

            if (section is null)
            {
                throw Invalid(name, number, "stands before the first section");
            }

            var (key, value) = KeyAndValue(line) ?? throw Invalid(name, number, "is not of the form key = \"value\"");
            result.Add(new($"{section}.{key}", value));
        }

        return result;
    }

    private static string? SectionName(string line)
    {
        var end = line.IndexOf(']', StringComparison.Ordinal);
        if (end < 0)
        {
            return null;
        }

        var inside = line[1..end];
        var space = inside.IndexOf(' ', StringComparison.Ordinal);
        return space < 0 ? inside : inside[..space];
    }

    private static (string Key, string Value)? KeyAndValue(string line)
    {
        var trimmed = line.TrimStart();
        var keyEnd = trimmed.IndexOfAny([' ', '\t']);
        if (keyEnd <= 0)
        {
            return null;
        }

        var rest = trimmed[keyEnd..].TrimStart();
        if (!rest.StartsWith('='))
        {
            return null;
        }

        rest = rest[1..].TrimStart();
        var close = rest.Length < 2 || rest[0] != '"' ? -1 : rest.IndexOf('"', 1);
        return close < 0 ? null : (trimmed[..keyEnd], rest[1..close]);
    }

    private static BlockException Invalid(string name, int line, string what) =>
        new(ErrorCode.Invalid, $"blkdebug config file '{name}': line {line} {what}", name);
}
