using System.Globalization;
using System.Text;

namespace Byre.Blockdev;

/// <summary>Strings as QEMU's tools write them in JSON: in ASCII, everything outside of it as \uXXXX with capital digits.</summary>
public static class JsonString
{
    /// <summary>A string as JSON writes it, quotes included.</summary>
    public static string Quoted(string value)
    {
        var text = new StringBuilder();
        Append(text, value);
        return text.ToString();
    }

    /// <summary>Appends a string as JSON writes it, quotes included.</summary>
    /// <param name="text">What it is appended to.</param>
    /// <param name="value">The string.</param>
    public static void Append(StringBuilder text, string value)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(value);
        text.Append('"');
        foreach (var c in value)
        {
            switch (c)
            {
                case '"' or '\\':
                    text.Append('\\').Append(c);
                    break;
                case '\b':
                    text.Append("\\b");
                    break;
                case '\f':
                    text.Append("\\f");
                    break;
                case '\n':
                    text.Append("\\n");
                    break;
                case '\r':
                    text.Append("\\r");
                    break;
                case '\t':
                    text.Append("\\t");
                    break;
                case < ' ' or > '~':
                    text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
                    break;
                default:
                    text.Append(c);
                    break;
            }
        }

        text.Append('"');
    }
}
