using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>What is read of an image before anything can be done with it.</summary>
/// <param name="Headers">The header.</param>
/// <param name="L1">The active L1 table.</param>
/// <param name="RefcountTable">The refcount table; empty where the header's numbers for it cannot be true.</param>
/// <param name="Encryption">The key; null where the image is not encrypted, or is opened without its passphrase.</param>
internal sealed record OpenTables(HeaderStore Headers, ResidentTable L1, ResidentTable RefcountTable, ImageEncryption? Encryption)
{
    /// <summary>Reads the tables.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <param name="writable">The image is opened to be written, not to be checked.</param>
    /// <param name="encryption">The key.</param>
    /// <exception cref="BlockException">A table cannot be read.</exception>
    public static async ValueTask<OpenTables> ReadAsync(BlockEdge file, Qcow2Header header, bool writable, ImageEncryption? encryption)
    {
        var headers = await HeaderStore.OpenAsync(file, header, writable).ConfigureAwait(false);
        var l1 = await ResidentTable.ReadAsync(file, header.L1Offset, (int)header.L1Entries).ConfigureAwait(false);
        var bytes = header.HasPossibleRefcountTable ? (long)header.RefcountTableClusters << header.ClusterBits : 0;
        var refcountTable = await ResidentTable.ReadAsync(file, header.RefcountTableOffset, (int)(bytes / 8)).ConfigureAwait(false);
        return new OpenTables(headers, l1, refcountTable, encryption);
    }
}
