using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Reads the header cluster of an image.</summary>
public static class Qcow2HeaderReader
{
    private const int FirstRead = 64 << 10;

    /// <summary>Reads the header cluster from a file, and parses it.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="forCheck">The image is to be checked: see <see cref="Qcow2Header.ParseForCheck"/>.</param>
    /// <exception cref="BlockException">As <see cref="Qcow2Header.Parse"/>, or the file cannot be read.</exception>
    public static async ValueTask<Qcow2Header> ReadAsync(BlockEdge file, bool forCheck = false)
    {
        ArgumentNullException.ThrowIfNull(file);
        var name = file.Node.FileName.Length != 0 ? file.Node.FileName : file.Node.Name;
        var bytes = new byte[Math.Min(file.Length, FirstRead)];
        await file.ReadAsync(0, bytes).ConfigureAwait(false);
        var wanted = Math.Min(file.Length, HeaderParser.ClusterSizeOf(bytes));
        if (wanted > bytes.Length)
        {
            bytes = new byte[wanted];
            await file.ReadAsync(0, bytes).ConfigureAwait(false);
        }

        return forCheck ? Qcow2Header.ParseForCheck(bytes, name) : Qcow2Header.Parse(bytes, name);
    }
}
