using System.Globalization;
using Byre.Nodes;

namespace Byre.Blockdev.Options;

/// <summary>The options of one node. A driver takes out what it knows; what is left over at the end is an error.</summary>
/// <param name="options">The options; they are taken out of it.</param>
/// <param name="jsonValues">How JSON wrote those that are no texts, or null: see <see cref="OptionTree.AddJson"/>.</param>
internal sealed class OptionSet(Dictionary<string, string> options, IReadOnlyDictionary<string, string>? jsonValues = null)
{
    /// <summary>Nothing is left.</summary>
    public bool IsEmpty => options.Count == 0;

    /// <summary>What is left, for readers of their own kind.</summary>
    public IReadOnlyDictionary<string, string> Rest => options;

    /// <summary>How JSON wrote what was given and is no text.</summary>
    public IReadOnlyDictionary<string, string> JsonValues { get; } = jsonValues ?? new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Takes a text.</summary>
    /// <returns>Null where it is not given, or null in JSON.</returns>
    public string? Take(string key) => TakeReference(key) is { } value && JsonValues.GetValueOrDefault(key) != "null" ? value : null;

    /// <summary>Takes the name of a node.</summary>
    /// <returns>Null where it is not given; empty where it is null in JSON: there shall be none.</returns>
    public string? TakeReference(string key) => options.Remove(key, out var value) ? value : null;

    /// <summary>Some of the options as JSON writes them, those that are given; nothing is taken.</summary>
    /// <param name="isWanted">Which ones, by their keys.</param>
    public Dictionary<string, string> AsJson(Func<string, bool> isWanted)
    {
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in options)
        {
            if (isWanted(key))
            {
                result[key] = JsonValues.GetValueOrDefault(key) ?? JsonString.Quoted(value);
            }
        }

        return result;
    }

    /// <summary>Takes a text, one of those allowed.</summary>
    /// <exception cref="BlockException">It is another one.</exception>
    public string? TakeWord(string key, params ReadOnlySpan<string> allowed)
    {
        var value = Take(key);
        return value is null || allowed.Contains(value)
            ? value
            : throw Invalid($"'{value}' is not a value for {key} ({string.Join(", ", allowed!)})");
    }

    /// <summary>Takes a switch: on, off, yes, no, true, false, y or n.</summary>
    /// <exception cref="BlockException">It is something else.</exception>
    public bool? TakeSwitch(string key) => Take(key) switch
    {
        null => null,
        "on" or "yes" or "true" or "y" => true,
        "off" or "no" or "false" or "n" => false,
        var other => throw Invalid($"'{other}' is not a value for {key} (on, off)"),
    };

    /// <summary>Takes a size in bytes.</summary>
    /// <exception cref="BlockException">It is no size.</exception>
    public long? TakeSize(string key) =>
        Take(key) is not { } text ? null
        : SizeText.TryParse(text, out var value) ? value
        : throw Invalid($"'{text}' is not a size for {key}: a number from 0 to 2^63-1, with a suffix of k, M, G, T, P or E if wanted");

    /// <summary>Takes a whole number of at least 0.</summary>
    /// <exception cref="BlockException">It is none.</exception>
    public long? TakeNumber(string key)
    {
        if (Take(key) is not { } text)
        {
            return null;
        }

        var hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return long.TryParse(
            hex ? text.AsSpan(2) : text, hex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= 0
            ? value
            : throw Invalid($"'{text}' is not a value for {key}: a whole number from 0 to 2^63-1");
    }

    /// <summary>Takes the options of a child ("file.driver" without "file."); empty where there are none.</summary>
    public Dictionary<string, string> TakeBelow(string key)
    {
        var result = OptionTree.Below(options, key);
        foreach (var name in result.Keys)
        {
            options.Remove($"{key}.{name}");
        }

        return result;
    }

    /// <summary>Options of a child are given, or a reference to a node.</summary>
    public bool HasChild(string key) => options.ContainsKey(key) || OptionTree.Below(options, key).Count > 0;

    /// <summary>Nobody has taken what is left.</summary>
    /// <exception cref="BlockException">Something is left.</exception>
    public void CheckEmpty(string driver)
    {
        if (options.Count > 0)
        {
            throw Invalid($"The {driver} driver has no option '{options.Keys.Min(StringComparer.Ordinal)}'");
        }
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
