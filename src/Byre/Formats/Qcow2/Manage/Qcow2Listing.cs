using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Lists what an image holds besides its disk, from its file and header alone: the image need not be opened.</summary>
public static class Qcow2Listing
{
    /// <summary>The internal snapshots, in the order of the table.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <exception cref="BlockException">The table cannot be read, is cut off, or is over a limit.</exception>
    public static async ValueTask<IReadOnlyList<SnapshotInfo>> SnapshotsAsync(BlockEdge file, Qcow2Header header)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        return [.. (await SnapshotTable.ReadAsync(file, header).ConfigureAwait(false)).Entries.Select(SnapshotTable.Describe)];
    }

    /// <summary>The persistent bitmaps, in the order of the directory; none where the image says they are not to be trusted.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <exception cref="BlockException">The directory cannot be read, is cut off, or is over a limit.</exception>
    public static async ValueTask<IReadOnlyList<Qcow2BitmapInfo>> BitmapsAsync(BlockEdge file, Qcow2Header header)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        var result = new List<Qcow2BitmapInfo>();
        if (BitmapsExtension.BytesIn(header) is not { } extension || BitmapsExtension.Read(extension.Span) is not { } place)
        {
            return result;
        }

        var what = $"'{TableWindow.NameOf(file)}': The bitmap directory";
        var (count, size, offset) = place;
        if (count > BitmapsExtension.MaxBitmaps || size > BitmapsExtension.MaxDirectoryBytes || offset > long.MaxValue - BitmapsExtension.MaxDirectoryBytes)
        {
            throw new BlockException(ErrorCode.TooLarge, $"{what} is over the limits ({count} bitmaps, {size} bytes at {offset})", TableWindow.NameOf(file));
        }

        var reader = new TableWindow(file, (long)offset, (long)size, what);
        for (var i = 0u; i < count; i++)
        {
            result.Add(await NextBitmapAsync(reader, what).ConfigureAwait(false));
        }

        return result;
    }

    private static async ValueTask<Qcow2BitmapInfo> NextBitmapAsync(TableWindow reader, string what)
    {
        var start = BitmapEntry.Read((await reader.PeekAsync(BitmapEntry.FixedLength).ConfigureAwait(false)).Span);
        var length = BitmapEntry.FixedLength + (long)start.ExtraBytes + start.NameLength;
        if (start.GranularityBits > 31 || length > TableWindow.Size)
        {
            throw new BlockException(ErrorCode.Corrupt, $"{what} has an entry that is not valid");
        }

        var entry = await reader.PeekAsync((int)length).ConfigureAwait(false);
        var name = Encoding.UTF8.GetString(entry.Span.Slice((int)length - start.NameLength, start.NameLength));
        reader.Skip(start.Length);
        return new Qcow2BitmapInfo(name, 1L << start.GranularityBits, start.IsInUse, start.IsAuto);
    }
}
