using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Io.Commands;

/// <summary>The saved machine state that formats with snapshots keep behind the disk.</summary>
internal static class VmState
{
    /// <summary>The state is read and written in whole sectors; prints what is wrong with others.</summary>
    public static bool CheckAlignment(IoSession session, long offset, long length)
    {
        return Check("offset", offset) && Check("count", length);

        bool Check(string name, long value) =>
            value % 512 == 0 || session.Fail($"{value} is not a sector-aligned value for '{name}'");
    }

    /// <summary>Reads state.</summary>
    public static ValueTask ReadAsync(BlockEdge edge, long offset, Memory<byte> buffer) =>
        StoreOf(edge) is { } store ? store.ReadVmStateAsync(offset, buffer) : ValueTask.FromException(NotSupported(edge, offset));

    /// <summary>Writes state.</summary>
    public static ValueTask WriteAsync(BlockEdge edge, long offset, ReadOnlyMemory<byte> data) =>
        StoreOf(edge) is { } store ? store.WriteVmStateAsync(offset, data) : ValueTask.FromException(NotSupported(edge, offset));

    private static IVmStateStore? StoreOf(BlockEdge edge) => BackingChain.SkipFilters(edge.Node) as IVmStateStore;

    private static BlockException NotSupported(BlockEdge edge, long offset) => new(
        ErrorCode.NotSupported, $"The {edge.Node.DriverName} driver keeps no machine state", edge.Node.Name, offset);
}
