using System.Globalization;
using System.Text.Json;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>Driver options with dotted keys, as lists ("driver=raw,file.filename=a") and JSON say them.</summary>
internal static class IoOptionTree
{
    /// <summary>Adds a list; a comma inside of a value is doubled; a word without "=" is a switch that is on.</summary>
    public static void AddList(Dictionary<string, string> options, string list)
    {
        foreach (var item in list.Replace(",,", "\0", StringComparison.Ordinal).Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var text = item.Replace('\0', ',');
            var equals = text.IndexOf('=', StringComparison.Ordinal);
            options[equals < 0 ? text : text[..equals]] = equals < 0 ? "on" : text[(equals + 1)..];
        }
    }

    /// <summary>Adds the members of a JSON object.</summary>
    /// <exception cref="BlockException">It is no JSON object. Quotes may be single ones, as in QEMU.</exception>
    public static void AddJson(Dictionary<string, string> options, string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json.Contains('"', StringComparison.Ordinal) ? json : json.Replace('\'', '"'));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new BlockException(ErrorCode.Invalid, "Could not parse the JSON options: not an object");
            }

            AddElement(options, "", document.RootElement);
        }
        catch (JsonException e)
        {
            throw new BlockException(ErrorCode.Invalid, $"Could not parse the JSON options: {e.Message}", inner: e);
        }
    }

    /// <summary>The options below a key, without the key and its dot.</summary>
    public static Dictionary<string, string> Below(IReadOnlyDictionary<string, string> options, string key)
    {
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in options)
        {
            if (name.StartsWith(key + ".", StringComparison.Ordinal))
            {
                result[name[(key.Length + 1)..]] = value;
            }
        }

        return result;
    }

    private static void AddElement(Dictionary<string, string> options, string key, JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    AddElement(options, key.Length == 0 ? member.Name : $"{key}.{member.Name}", member.Value);
                }

                break;
            case JsonValueKind.Array:
                var index = 0;
                foreach (var item in element.EnumerateArray())
                {
                    AddElement(options, string.Create(CultureInfo.InvariantCulture, $"{key}.{index++}"), item);
                }

                break;
            case JsonValueKind.True or JsonValueKind.False:
                options[key] = element.GetBoolean() ? "on" : "off";
                break;
            case JsonValueKind.Null:
                break;
            default:
                options[key] = element.ToString();
                break;
        }
    }
}
