using System.Globalization;
using System.Text;

namespace Byre.Cli.NbdTools;

/// <summary>Strings as libnbd's tools write them in JSON.</summary>
internal static class NbdJson
{
    /// <summary>The string in quotes: control characters as \u00xx, what is not ASCII as it is.</summary>
    public static string Quoted(string value)
    {
        var text = new StringBuilder("\"");
        foreach (var c in value)
        {
            _ = c switch
            {
                '"' or '\\' => text.Append('\\').Append(c),
                < ' ' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => text.Append(c),
            };
        }

        return text.Append('"').ToString();
    }
}
