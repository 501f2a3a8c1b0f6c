using System.Globalization;
using Byre.Blockdev;
using Byre.Nodes;

namespace Byre.Cli.Copy;

/// <summary>What a copy knows of servers.</summary>
internal static class CopyRemote
{
    /// <summary>The driver of servers.</summary>
    public const string Driver = "nbd";

    /// <summary>The options with which a name is opened: how many connections a server gets.</summary>
    /// <param name="name">The name.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="end">The end that the name is of.</param>
    public static IReadOnlyDictionary<string, string> Options(string name, CopyRequest request, CopyEnd end)
    {
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        if (end is { IsOptions: false, Kind: not CopyEndKind.Path } && NbdNames.IsNbd(name))
        {
            // A server that was started for the copy takes one connection, and ends with it.
            var connections = request.Synchronous || end.Kind == CopyEndKind.Command ? 1 : request.Connections;
            options[end.Format is null or Driver ? "connections" : "file.connections"] = Math.Min(connections, 16).ToString(CultureInfo.InvariantCulture);
        }

        return options;
    }

    /// <summary>The servers of an image are not asked for stable storage, not even when it is closed.</summary>
    public static void LeaveUnflushed(BlockNode node)
    {
        node.IgnoresFlushes |= node.DriverName == Driver;
        foreach (var child in node.Children)
        {
            LeaveUnflushed(child.Node);
        }
    }

    /// <summary>Its requests go to a server.</summary>
    public static bool Is(BlockNode node) => node.DriverName == Driver || node.Children.Any(c => Is(c.Node));
}
