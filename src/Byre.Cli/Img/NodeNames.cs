using System.Globalization;
using Byre.Filters;
using Byre.Formats.Raw;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>The names by which info knows nodes: one that opens the same again.</summary>
internal static class NodeNames
{
    /// <summary>The name: a path; for the drivers for tests their own syntax; for a window of a file "json:{...}".</summary>
    public static string Of(BlockNode node) => node switch
    {
        BlkdebugNode { ConfigName: { } config } debug => $"blkdebug:{config}:{Of(debug.PrimaryChild!.Node)}",
        BlkverifyNode verify => $"blkverify:{Of(verify.PrimaryChild!.Node)}:{Of(verify.Children[0].Node)}",
        RawNode { Options: { Offset: not 0 } or { Size: not null } } raw => Window(raw),
        RawNode raw => Of(raw.PrimaryChild!.Node),
        _ => node.FileName,
    };

    private static string Window(RawNode raw)
    {
        // Members in the order in which QEMU's tools come to print them.
        var offset = raw.Options.Offset == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"\"offset\": \"{raw.Options.Offset}\", ");
        var size = raw.Options.Size is { } bytes ? string.Create(CultureInfo.InvariantCulture, $", \"size\": \"{bytes}\"") : "";
        var file = raw.PrimaryChild!.Node;
        return $"json:{{{offset}\"driver\": \"raw\"{size}, \"file\": {{\"driver\": \"{file.DriverName}\", \"filename\": {JsonText.Quoted(Of(file))}}}}}";
    }
}
