using System.Diagnostics.CodeAnalysis;
using System.Text;
using Byre.Nodes;

namespace Byre.Filters;

/// <summary>The names of events and kinds of requests in options and configuration files, as in QEMU's QAPI schema.</summary>
public static class BlkdebugNames
{
    private static readonly Dictionary<string, BlkdebugEvent> Events =
        Enum.GetValues<BlkdebugEvent>().ToDictionary(NameOf, StringComparer.Ordinal);

    private static readonly Dictionary<string, BlkdebugIoTypes> IoTypes = new(StringComparer.Ordinal)
    {
        ["read"] = BlkdebugIoTypes.Read,
        ["write"] = BlkdebugIoTypes.Write,
        ["write-zeroes"] = BlkdebugIoTypes.WriteZeroes,
        ["discard"] = BlkdebugIoTypes.Discard,
        ["flush"] = BlkdebugIoTypes.Flush,
        ["block-status"] = BlkdebugIoTypes.BlockStatus,
    };

    /// <summary>The event called <paramref name="name"/> ("l1_update").</summary>
    public static bool TryParse(string name, out BlkdebugEvent result) => Events.TryGetValue(name, out result);

    /// <summary>The kind of request called <paramref name="name"/> ("write-zeroes").</summary>
    public static bool TryParseIoType(string name, [NotNullWhen(true)] out BlkdebugIoTypes? result)
    {
        var found = IoTypes.TryGetValue(name, out var type);
        result = found ? type : null;
        return found;
    }

    /// <summary>An event's name: words in small letters, joined by underscores.</summary>
    public static string NameOf(BlkdebugEvent value)
    {
        var name = new StringBuilder();
        foreach (var c in value.ToString())
        {
            if (char.IsAsciiLetterUpper(c) && name.Length > 0)
            {
                name.Append('_');
            }

            name.Append(char.ToLowerInvariant(c));
        }

        return name.ToString();
    }
}
