using System.Globalization;
using System.Text;

namespace Byre.Cli.Img;

/// <summary>
/// JSON laid out as QEMU's tools print it: four spaces a level, a member or an element on its own line, empty ones on two
/// lines; everything outside of ASCII escaped.
/// </summary>
internal sealed class JsonText
{
    private readonly StringBuilder text = new();
    private int level;
    private bool first = true;

    /// <summary>Begins an object.</summary>
    /// <param name="name">The member's name inside of an object, null inside of an array or at the top.</param>
    public void BeginObject(string? name = null) => Begin(name, '{');

    /// <summary>Ends an object.</summary>
    public void EndObject() => End('}');

    /// <summary>Begins an array.</summary>
    public void BeginArray(string? name = null) => Begin(name, '[');

    /// <summary>Ends an array.</summary>
    public void EndArray() => End(']');

    /// <summary>Adds a string.</summary>
    public void Add(string? name, string value)
    {
        Next(name);
        Quote(value);
    }

    /// <summary>Adds a number.</summary>
    public void Add(string? name, long value)
    {
        Next(name);
        text.Append(value.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>Adds a number.</summary>
    public void Add(string? name, ulong value)
    {
        Next(name);
        text.Append(value.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>Adds true or false.</summary>
    public void Add(string? name, bool value)
    {
        Next(name);
        text.Append(value ? "true" : "false");
    }

    /// <summary>A string as JSON writes it, quotes included.</summary>
    public static string Quoted(string value)
    {
        var json = new JsonText();
        json.Quote(value);
        return json.ToString();
    }

    /// <summary>The text so far.</summary>
    public override string ToString() => text.ToString();

    private void Begin(string? name, char bracket)
    {
        Next(name);
        text.Append(bracket);
        level++;
        first = true;
    }

    private void End(char bracket)
    {
        level--;
        NewLine();
        text.Append(bracket);
        first = false;
    }

    private void Next(string? name)
    {
        if (!first)
        {
            text.Append(',');
        }

        if (level > 0)
        {
            NewLine();
        }

        first = false;
        if (name is not null)
        {
            Quote(name);
            text.Append(": ");
        }
    }

    private void NewLine() => text.Append('\n').Append(' ', 4 * level);

    private void Quote(string value)
    {
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
