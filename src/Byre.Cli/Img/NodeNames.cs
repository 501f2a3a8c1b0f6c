using System.Globalization;
using Byre.Blockdev;
using Byre.Filters;
using Byre.Formats.Raw;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>The names by which info knows nodes, as QEMU's tools make them: one that opens the same again.</summary>
internal static class NodeNames
{
    private const string BackingName = "backing";
    private const int Buckets = 512;

    /// <summary>
    /// The name: a path; for servers a URI; for the drivers for tests their own syntax; "json:{...}" where options make the image
    /// another one.
    /// </summary>
    public static string Of(BlockNode node) => Plain(node) ?? "json:" + Object(node);

    /// <summary>The name of an image whose format was looked at without opening it.</summary>
    /// <param name="format">The format's driver.</param>
    /// <param name="file">The node that the image lies in.</param>
    public static string OfImage(string format, BlockNode file) =>
        PlainAbove(file) ?? "json:" + Object([("driver", JsonString.Quoted(format)), ("file", Object(file))]);

    /// <summary>The name without options, or null where there is none.</summary>
    private static string? Plain(BlockNode node) => node switch
    {
        BlkdebugNode debug => debug.ConfigName is { } config && Plain(node.PrimaryChild!.Node) is { } image ? $"blkdebug:{config}:{image}" : null,
        BlkverifyNode => Plain(node.PrimaryChild!.Node) is { } raw && Plain(node.Children[0].Node) is { } test ? $"blkverify:{raw}:{test}" : null,
        NullNode { GivenOptions.Count: > 0 } or RawNode { GivenOptions.Count: > 0 } or RawNode { Options: { Offset: not 0 } or { Size: not null } } => null,
        NullNode => $"{node.DriverName}://",
        FilterNode => Plain(node.PrimaryChild!.Node),
        { PrimaryChild: { } file } when IsFormat(node) => PlainAbove(file.Node),
        _ => node.FileName,
    };

    /// <summary>An image is known by the name of the file it lies in, but not by that of another image.</summary>
    private static string? PlainAbove(BlockNode file) => IsFormat(file) ? null : Plain(file);

    private static bool IsFormat(BlockNode node) => FormatRegistry.Names.Contains(node.DriverName);

    /// <summary>The options that open it again.</summary>
    private static string Object(BlockNode node)
    {
        var members = new List<(string Key, string Json)> { ("driver", JsonString.Quoted(node.DriverName)) };
        members.AddRange(Given(node).OrderBy(option => option.Key, StringComparer.Ordinal).Select(option => (option.Key, option.Value)));
        members.AddRange(node.Children.Where(edge => edge.Name != BackingName).Select(edge => (edge.Name, Object(edge.Node))));
        if (members.Count == 1 && node is not NullNode)
        {
            members.Add(("filename", JsonString.Quoted(Of(node))));
        }

        return Object(members);
    }

    private static string Object(IEnumerable<(string Key, string Json)> members) =>
        $"{{{string.Join(", ", members.OrderBy(member => Place(member.Key)).Select(member => $"{JsonString.Quoted(member.Key)}: {member.Json}"))}}}";

    /// <summary>The options as they were given, or as they hold for a node that was not opened by options.</summary>
    private static IEnumerable<KeyValuePair<string, string>> Given(BlockNode node)
    {
        if (node is IGivenOptions { GivenOptions: { Count: > 0 } given })
        {
            return given;
        }

        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        if (node is RawNode { Options: var window })
        {
            if (window.Offset != 0)
            {
                options["offset"] = window.Offset.ToString(CultureInfo.InvariantCulture);
            }

            if (window.Size is { } size)
            {
                options["size"] = size.ToString(CultureInfo.InvariantCulture);
            }
        }

        return options;
    }

    /// <summary>Where QEMU's tools print a member: they keep them in a table of buckets, by a hash of the key (that of the tdb database).</summary>
    private static uint Place(string key)
    {
        var hash = 0x238f13afu * (uint)key.Length;
        for (var i = 0; i < key.Length; i++)
        {
            hash += (uint)key[i] << (i * 5 % 24);
        }

        return (1103515243u * hash + 12345u) % Buckets;
    }
}
