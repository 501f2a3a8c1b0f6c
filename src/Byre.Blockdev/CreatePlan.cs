using System.Text;

namespace Byre.Blockdev;

/// <summary>An image that is about to be created: the request with everything looked up that can be.</summary>
public sealed class CreatePlan
{
    internal CreatePlan(string fileName, string format, long size, IReadOnlyList<KeyValuePair<string, string>> values)
    {
        FileName = fileName;
        Format = format;
        Size = size;
        Values = values;
    }

    /// <summary>The image's name.</summary>
    public string FileName { get; }

    /// <summary>Its format.</summary>
    public string Format { get; }

    /// <summary>Length of the virtual disk in bytes, as it was asked for.</summary>
    public long Size { get; }

    /// <summary>The options that have a value, given or default, in the order in which QEMU's tools show them.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Values { get; }

    /// <summary>The secrets that values refer to, or null.</summary>
    internal SecretStore? Secrets { get; init; }

    /// <summary>The line that tools print: "Formatting 'NAME', fmt=FORMAT key=value ...", with commas in values doubled.</summary>
    public string FormattingLine
    {
        get
        {
            var line = new StringBuilder($"Formatting '{FileName}', fmt={Format}");
            foreach (var (key, value) in Values)
            {
                line.Append(' ').Append(key).Append('=').Append(value.Replace(",", ",,", StringComparison.Ordinal));
            }

            return line.ToString();
        }
    }

    /// <summary>The value of an option; null where it has none.</summary>
    internal string? Find(string key)
    {
        foreach (var (name, value) in Values)
        {
            if (name == key)
            {
                return value;
            }
        }

        return null;
    }
}
