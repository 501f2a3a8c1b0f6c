using Byre.Cli.Img;
using Byre.Filters;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>The lines of the command "info".</summary>
internal static class IoInfo
{
    private const int L2EntryBits = 3; // of 8 bytes; one more where they have subclusters

    /// <summary>Prints them.</summary>
    /// <returns>False: only the names are known, as what is served over NBD has neither clusters nor a place for machine state.</returns>
    public static async ValueTask<bool> PrintAsync(IoStdout output, BlockNode node)
    {
        var image = BackingChain.SkipFilters(node);
        node = node is CopyOnReadNode ? node.PrimaryChild!.Node : node;
        output.WriteLine($"format name: {node.DriverName}");
        if (image is not Qcow2Node qcow2 || node is BlkdebugNode or BlkverifyNode)
        {
            if (node is not (RawNode or LuksNode))
            {
                output.WriteLine($"format name: {node.DriverName}"); // qemu-io names protocols twice
            }

            if (Bottom(node) is NbdNode)
            {
                return false;
            }

            output.WriteLine("cluster size: 0 bytes");
            output.WriteLine("vm state offset: 0 bytes");
            if (node is LuksNode luks)
            {
                output.Write(InfoText.Specific(luks.Header));
            }

            return true;
        }

        // Machine state lies behind the last table of the disk.
        var header = qcow2.Header;
        var covered = header.ClusterBits + header.ClusterBits - L2EntryBits - (header.HasSubclusters ? 1 : 0);
        var tables = (UInt128)(header.Size + (1L << covered) - 1) >> covered;
        output.WriteLine($"cluster size: {IoFormat.Size(header.ClusterSize)}");
        output.WriteLine($"vm state offset: {IoFormat.Size((double)(tables << covered))}");
        var encryption = EncryptionHeader.AreaOf(qcow2.File, header) is { } area ? await area.ReadHeaderAsync().ConfigureAwait(false) : null;
        output.Write(InfoText.Specific(header, encryption, await Qcow2Listing.BitmapsAsync(qcow2.File, header).ConfigureAwait(false)));
        return true;
    }

    private static BlockNode Bottom(BlockNode node)
    {
        while (node.PrimaryChild is { } child)
        {
            node = child.Node;
        }

        return node;
    }
}
