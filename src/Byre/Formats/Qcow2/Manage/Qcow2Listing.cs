using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Lists what an image holds besides its disk, from its file and header alone: the image need not be opened.</summary>
public static class Qcow2Listing
{
    private const int SnapshotStart = 40;
    private const int Window = 256 << 10;

    /// <summary>The internal snapshots, in the order of the table.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <exception cref="BlockException">The table cannot be read, is cut off, or is over a limit.</exception>
    public static async ValueTask<IReadOnlyList<Qcow2SnapshotInfo>> SnapshotsAsync(BlockEdge file, Qcow2Header header)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        var name = NameOf(file);
        var result = new List<Qcow2SnapshotInfo>();
        var reader = new WindowReader(file, header.SnapshotsOffset, Qcow2Limits.MaxSnapshotTableBytes, $"'{name}': The snapshot table");
        for (var i = 0u; i < header.SnapshotCount; i++)
        {
            var length = SnapshotEntry.LengthOf((await reader.PeekAsync(SnapshotStart).ConfigureAwait(false)).Span, name);

            // The padding of the last entry need not be there.
            var bytes = await reader.PeekAsync(length, padding: 7).ConfigureAwait(false);
            var entry = SnapshotEntry.Read(bytes.Span, name, out _);
            reader.Skip(length);
            result.Add(new(
                entry.Id, entry.Name, entry.DateSeconds, entry.DateNanoseconds, entry.VmClockNanoseconds, entry.VmStateSize, entry.DiskSize, entry.Icount));
        }

        return result;
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
        if ((header.Autoclear & AutoclearFeatures.Bitmaps) == 0
            || header.FindExtension(HeaderExtensionTypes.Bitmaps) is not { } extension
            || BitmapsExtension.Read(extension.Data.Span) is not { } place)
        {
            return result;
        }

        var what = $"'{NameOf(file)}': The bitmap directory";
        var (count, size, offset) = place;
        if (count > BitmapsExtension.MaxBitmaps || size > BitmapsExtension.MaxDirectoryBytes || offset > long.MaxValue - BitmapsExtension.MaxDirectoryBytes)
        {
            throw new BlockException(ErrorCode.TooLarge, $"{what} is over the limits ({count} bitmaps, {size} bytes at {offset})", NameOf(file));
        }

        var reader = new WindowReader(file, (long)offset, (long)size, what);
        for (var i = 0u; i < count; i++)
        {
            result.Add(await NextBitmapAsync(reader, what).ConfigureAwait(false));
        }

        return result;
    }

    private static async ValueTask<Qcow2BitmapInfo> NextBitmapAsync(WindowReader reader, string what)
    {
        var start = BitmapEntry.Read((await reader.PeekAsync(BitmapEntry.FixedLength).ConfigureAwait(false)).Span);
        var length = BitmapEntry.FixedLength + (long)start.ExtraBytes + start.NameLength;
        if (start.GranularityBits > 31 || length > Window)
        {
            throw new BlockException(ErrorCode.Corrupt, $"{what} has an entry that is not valid");
        }

        var entry = await reader.PeekAsync((int)length).ConfigureAwait(false);
        var name = Encoding.UTF8.GetString(entry.Span.Slice((int)length - start.NameLength, start.NameLength));
        reader.Skip(start.Length);
        return new Qcow2BitmapInfo(name, 1L << start.GranularityBits, start.IsInUse, start.IsAuto);
    }

    private static string NameOf(BlockEdge file) => file.Node.FileName.Length != 0 ? file.Node.FileName : file.Node.Name;

    /// <summary>Reads a table from its start to its end, a window at a time.</summary>
    private sealed class WindowReader(BlockEdge file, long start, long limit, string what)
    {
        private readonly long end = start + limit;
        private byte[] window = [];
        private long windowAt = start;
        private long at = start;

        /// <summary>The next bytes, of which the last <paramref name="padding"/> may be missing.</summary>
        public async ValueTask<ReadOnlyMemory<byte>> PeekAsync(int length, int padding = 0)
        {
            var left = Math.Min(file.Length, end) - at;
            if (left < length - padding)
            {
                throw new BlockException(ErrorCode.Corrupt, $"{what} is cut off", file.Node.Name, at);
            }

            length = (int)Math.Min(length, left);
            if (at < windowAt || at + length > windowAt + window.Length)
            {
                var bytes = new byte[(int)Math.Min(left, Math.Max(Window, length))];
                await file.ReadAsync(at, bytes).ConfigureAwait(false);
                (window, windowAt) = (bytes, at);
            }

            return window.AsMemory((int)(at - windowAt), length);
        }

        public void Skip(long length) => at += length;
    }
}
