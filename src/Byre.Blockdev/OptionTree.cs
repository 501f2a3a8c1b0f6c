using System.Globalization;
using System.Text;
using System.Text.Json;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>
/// Driver options with dotted keys, as lists ("driver=raw,file.filename=a") and JSON say them. A member of a JSON object is a
/// level of the key, an item of an array has its index for one; null is an empty value, which means "none" for a child.
/// </summary>
public static class OptionTree
{
    private const int MaxDepth = 64;

    /// <summary>Adds a list; a comma inside of a value is doubled; a word without "=" is a switch that is on.</summary>
    /// <param name="options">Where to add; what is there already gives way.</param>
    /// <param name="list">The list.</param>
    public static void AddList(IDictionary<string, string> options, string list)
    {
        ArgumentNullException.ThrowIfNull(options);
        foreach (var (key, value) in ParseList(list))
        {
            options[key] = value ?? "on";
        }
    }

    /// <summary>Parts a list into keys and values, in their order; the value of a word without "=" is null.</summary>
    /// <param name="list">"key=value,...", with commas inside of values doubled.</param>
    public static IReadOnlyList<KeyValuePair<string, string?>> ParseList(string list)
    {
        ArgumentNullException.ThrowIfNull(list);
        var result = new List<KeyValuePair<string, string?>>();
        var item = new StringBuilder();
        for (var i = 0; i <= list.Length; i++)
        {
            var isDoubled = i + 1 < list.Length && list[i] == ',' && list[i + 1] == ',';
            if (i < list.Length && (isDoubled || list[i] != ','))
            {
                item.Append(list[i]);
                i += isDoubled ? 1 : 0;
                continue;
            }

            var text = item.ToString();
            var equals = text.IndexOf('=', StringComparison.Ordinal);
            if (text.Length > 0)
            {
                result.Add(equals < 0 ? new(text, null) : new(text[..equals], text[(equals + 1)..]));
            }

            item.Clear();
        }

        return result;
    }

    /// <summary>Adds the members of a JSON object.</summary>
    /// <param name="options">Where to add; what is there already gives way.</param>
    /// <param name="json">The object. Strings may stand in single quotes.</param>
    /// <param name="values">
    /// Takes how JSON writes the values that are no texts (1024, true, null), by their keys; null where nobody wants to know.
    /// </param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it is no JSON object, or one with a member twice.</exception>
    public static void AddJson(IDictionary<string, string> options, string json, IDictionary<string, string>? values = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(json);
        try
        {
            using var document = JsonDocument.Parse(WithDoubleQuotes(json), new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new BlockException(ErrorCode.Invalid, "Could not parse the JSON options: not an object");
            }

            AddElement(options, values, "", document.RootElement);
        }
        catch (JsonException e)
        {
            throw new BlockException(
                ErrorCode.Invalid,
                $"Could not parse the JSON options: not valid JSON at byte {e.BytePositionInLine ?? 0} of line {(e.LineNumber ?? 0) + 1}",
                inner: e);
        }
        catch (InvalidOperationException e)
        {
            // A string with half of a surrogate pair.
            throw new BlockException(ErrorCode.Invalid, "Could not parse the JSON options: a string is not valid Unicode", inner: e);
        }
    }

    /// <summary>The options below a key, without the key and its dot.</summary>
    /// <param name="options">All options.</param>
    /// <param name="key">The key: for "file", what begins with "file.".</param>
    public static Dictionary<string, string> Below(IReadOnlyDictionary<string, string> options, string key)
    {
        ArgumentNullException.ThrowIfNull(options);
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in options)
        {
            if (name.Length > key.Length && name[key.Length] == '.' && name.StartsWith(key, StringComparison.Ordinal))
            {
                result[name[(key.Length + 1)..]] = value;
            }
        }

        return result;
    }

    private static void AddElement(IDictionary<string, string> options, IDictionary<string, string>? values, string key, JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    AddElement(options, values, key.Length == 0 ? member.Name : $"{key}.{member.Name}", member.Value);
                }

                break;
            case JsonValueKind.Array:
                var index = 0;
                foreach (var item in element.EnumerateArray())
                {
                    AddElement(options, values, string.Create(CultureInfo.InvariantCulture, $"{key}.{index++}"), item);
                }

                break;
            case JsonValueKind.True or JsonValueKind.False:
                Add(element.GetBoolean() ? "on" : "off", element.GetBoolean() ? "true" : "false");
                break;
            case JsonValueKind.Null:
                Add("", "null");
                break;
            case JsonValueKind.Number:
                var number = NumberOf(element);
                Add(number, number);
                break;
            default:
                options[key] = element.ToString();
                values?.Remove(key);
                break;
        }

        void Add(string text, string written)
        {
            options[key] = text;
            if (values is not null)
            {
                values[key] = written;
            }
        }
    }

    /// <summary>A whole number is one however it is written: 1e3 is 1000, as for QEMU.</summary>
    private static string NumberOf(JsonElement element)
    {
        const double most = 1L << 53;
        var text = element.GetRawText();
        return text.AsSpan().IndexOfAny('.', 'e', 'E') >= 0 && element.TryGetDouble(out var value) && double.IsInteger(value) && Math.Abs(value) <= most
            ? ((long)value).ToString(CultureInfo.InvariantCulture)
            : text;
    }

    /// <summary>Strings in single quotes become strings in double quotes.</summary>
    private static string WithDoubleQuotes(string json)
    {
        if (!json.Contains('\'', StringComparison.Ordinal))
        {
            return json;
        }

        var result = new StringBuilder(json.Length + 16);
        var quote = '\0';
        for (var i = 0; i < json.Length; i++)
        {
            var c = json[i];
            if (c == '\\' && quote != '\0' && i + 1 < json.Length)
            {
                var next = json[++i];
                result.Append(next == '\'' ? "'" : $"\\{next}");
            }
            else if (c == quote)
            {
                quote = '\0';
                result.Append('"');
            }
            else if (quote == '\0' && (c == '"' || c == '\''))
            {
                quote = c;
                result.Append('"');
            }
            else if (c == '"')
            {
                result.Append("\\\"");
            }
            else
            {
                result.Append(c);
            }
        }

        return result.ToString();
    }
}
