using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>The lines of the command "info".</summary>
internal static class IoInfo
{
    /// <summary>Prints them.</summary>
    public static ValueTask PrintAsync(IoStdout output, BlockNode node)
    {
        output.WriteLine($"format name: {node.DriverName}");
        output.WriteLine("cluster size: 0 bytes");
        output.WriteLine("vm state offset: 0 bytes");
        return default;
    }
}
