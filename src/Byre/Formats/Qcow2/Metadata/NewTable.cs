using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>The first content of an L2 table.</summary>
internal static class NewTable
{
    /// <summary>
    /// Writes a whole table, and so takes its space in the file before any data goes there that it will name. Were the space
    /// taken by the write-back only, data that was acknowledged could fill the file, and no table could name it any more.
    /// </summary>
    /// <remarks>
    /// Zeroes are written as data too. A request for zeroes would leave a hole past the end of a file or where the file system
    /// allocates nothing ahead, and an image or a server below may keep no more than a flag.
    /// </remarks>
    /// <param name="file">The image file.</param>
    /// <param name="at">Where the table lies: a cluster that nothing names.</param>
    /// <param name="old">The table that it is a copy of; 0 for one that names nothing.</param>
    /// <param name="clusterSize">Bytes in a table.</param>
    /// <exception cref="BlockException">The file cannot be read or written; <see cref="ErrorCode.NoSpace"/>: it is full.</exception>
    public static async ValueTask WriteAsync(BlockEdge file, HostOffset at, HostOffset old, int clusterSize)
    {
        using var table = BufferPool.Rent(clusterSize);
        if (old == HostOffset.Zero)
        {
            table.Memory.Span.Clear();
        }
        else
        {
            await PaddedReads.ReadAsync(file, old.Value, table.Memory).ConfigureAwait(false);
        }

        await file.WriteAsync(at.Value, table.Memory).ConfigureAwait(false);
    }
}
