using System.Globalization;
using Byre.Blockdev;
using Byre.Filters;
using Byre.Formats.Raw;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>The names by which info knows nodes: one that opens the same again.</summary>
internal static class NodeNames
{
    /// <summary>
    /// The name: a path; for the drivers for tests their own syntax; "json:{...}" where options make the image another one.
    /// </summary>
    public static string Of(BlockNode node) => Plain(node) ?? "json:" + Object(node);

    /// <summary>The name without options, or null where there is none.</summary>
    private static string? Plain(BlockNode node) => node switch
    {
        IGivenOptions { GivenOptions.Count: > 0 } => null,
        BlkdebugNode { ConfigName: { } config } debug => $"blkdebug:{config}:{Of(debug.PrimaryChild!.Node)}",
        BlkverifyNode verify => $"blkverify:{Of(verify.PrimaryChild!.Node)}:{Of(verify.Children[0].Node)}",
        NullNode => $"{node.DriverName}://",
        RawNode { Options: { Offset: not 0 } or { Size: not null } } => null,
        RawNode raw => Plain(raw.PrimaryChild!.Node),
        _ => node.FileName,
    };

    /// <summary>The options that open it again; members are in the order in which QEMU's tools come to print them.</summary>
    private static string Object(BlockNode node)
    {
        var members = new List<string>();
        foreach (var key in (ReadOnlySpan<string>)["read-zeroes", "offset", "driver", "size"])
        {
            if (key == "driver")
            {
                members.Add($"\"driver\": \"{node.DriverName}\"");
            }
            else if (Given(node, key) is { } value)
            {
                members.Add($"\"{key}\": {value}");
            }
        }

        if (node is RawNode raw)
        {
            members.Add($"\"file\": {Object(raw.PrimaryChild!.Node)}");
        }
        else if (node is not NullNode)
        {
            members.Add($"\"filename\": {JsonString.Quoted(Of(node))}");
        }

        return $"{{{string.Join(", ", members)}}}";
    }

    /// <summary>An option as it was given, or as it holds for a node that was not opened by options.</summary>
    private static string? Given(BlockNode node, string key) => (key, node) switch
    {
        (_, IGivenOptions { GivenOptions: { Count: > 0 } given }) => given.GetValueOrDefault(key),
        ("offset", RawNode { Options.Offset: not 0 and var offset }) => offset.ToString(CultureInfo.InvariantCulture),
        ("size", RawNode { Options.Size: { } size }) => size.ToString(CultureInfo.InvariantCulture),
        _ => null,
    };
}
