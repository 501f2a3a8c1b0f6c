using System.Globalization;
using System.Text;
using Byre.Blockdev;

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
        JsonString.Append(text, value);
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
            JsonString.Append(text, name);
            text.Append(": ");
        }
    }

    private void NewLine() => text.Append('\n').Append(' ', 4 * level);
}
