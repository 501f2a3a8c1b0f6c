using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Walks over the bitmap directory and the bitmaps' tables, for the clusters that they take.</summary>
internal static class BitmapScan
{
    private const long MaxBitmapBytes = 512L << 20;

    /// <summary>Counts what belongs to the bitmaps. Where the autoclear bit is not set the extension counts as absent.</summary>
    /// <exception cref="BlockException">The directory makes no sense, or a table cannot be read.</exception>
    public static async ValueTask RunAsync(TableReader reader, ImageScan scan)
    {
        if (!scan.Header.Autoclear.HasFlag(AutoclearFeatures.Bitmaps))
        {
            return;
        }

        foreach (var extension in scan.Header.Extensions)
        {
            if (extension.Type == HeaderExtensionTypes.Bitmaps)
            {
                await ScanDirectoryAsync(reader, scan, extension.Data).ConfigureAwait(false);
            }
        }
    }

    private static BlockException Malformed(ImageScan scan, string what)
    {
        scan.Findings.Corruption(1, what);
        return new BlockException(ErrorCode.Corrupt, $"The bitmap directory cannot be read: {what}.");
    }

    private static async ValueTask ScanDirectoryAsync(TableReader reader, ImageScan scan, ReadOnlyMemory<byte> extension)
    {
        if (extension.Length != BitmapsExtension.Length)
        {
            throw Malformed(scan, "the bitmaps extension has a wrong length");
        }

        var place = BitmapsExtension.Read(extension.Span)!.Value;
        if (!place.IsPlausible(scan.Header.ClusterSize))
        {
            throw Malformed(scan, "the bitmaps extension's numbers cannot be right");
        }

        var (count, size, offset) = (place.Count, (long)place.DirectoryBytes, (long)place.DirectoryOffset);
        if (!scan.Reference(MetadataKind.Bitmap, offset, size, "the bitmap directory"))
        {
            throw Malformed(scan, "it lies behind the end of the file");
        }

        var directory = new byte[size]; // lies in the file, but for less than a cluster
        await reader.ReadAsync(offset, directory).ConfigureAwait(false);
        var clusters = new WeightedRanges();
        var bytes = new WeightedRanges();
        var seen = 0u;
        for (var at = 0; at < directory.Length; seen++)
        {
            at += ReadEntry(scan, directory.AsSpan(at), clusters, bytes);
        }

        if (seen != count)
        {
            throw Malformed(scan, $"it has {seen} bitmaps, and the header says {count}");
        }

        scan.Reference(MetadataKind.Bitmap, clusters);
        await ScanTablesAsync(reader, scan, bytes).ConfigureAwait(false);
    }

    private static int ReadEntry(ImageScan scan, ReadOnlySpan<byte> rest, WeightedRanges clusters, WeightedRanges bytes)
    {
        if (rest.Length < BitmapEntry.FixedLength)
        {
            throw Malformed(scan, "an entry is cut off");
        }

        var entry = BitmapEntry.Read(rest);
        var (offset, entries) = (entry.TableOffset, (long)entry.TableEntries);
        var bitmapBytes = entries << scan.Header.ClusterBits;
        if (entry.Length > rest.Length || entry.ExtraBytes != 0 || entry.NameLength is 0 or > BitmapEntry.MaxNameLength || entry.Type != 1
            || entry.GranularityBits is < 9 or > 31 || (entry.Flags & ~3u) != 0 || offset <= 0 || (offset & (scan.Header.ClusterSize - 1)) != 0
            || entries == 0 || bitmapBytes > MaxBitmapBytes
            || (!entry.IsInUse && entries != TableEntriesFor(scan.Header, entry.GranularityBits)))
        {
            throw Malformed(scan, "an entry's numbers cannot be right");
        }

        scan.AddTable(clusters, offset, entries * 8, "a bitmap's table");
        bytes.Add(offset, Math.Min(offset + (entries * 8), (scan.FileLength + 7) & ~7));
        return (int)entry.Length;
    }

    /// <summary>Entries of the table of a bitmap over the whole disk: its bits are stored in words of 64.</summary>
    public static long TableEntriesFor(Qcow2Header header, int granularityBits)
    {
        var bits = ImageScan.ClustersIn(header.Size, granularityBits);
        return ImageScan.ClustersIn(ImageScan.ClustersIn(bits, 6) * 8, header.ClusterBits);
    }

    private static async ValueTask ScanTablesAsync(TableReader reader, ImageScan scan, WeightedRanges bytes)
    {
        var buffer = new byte[64 << 10];
        foreach (var (start, stop, weight, _) in bytes.Segments())
        {
            for (var at = start; at < stop; at += buffer.Length)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, stop - at));
                await reader.ReadAsync(at, piece).ConfigureAwait(false);
                for (var i = 0; i < piece.Length; i += 8)
                {
                    CheckTableEntry(scan, BinaryPrimitives.ReadUInt64BigEndian(piece.Span[i..]), weight);
                }
            }
        }
    }

    private static void CheckTableEntry(ImageScan scan, ulong raw, long weight)
    {
        var entry = new BitmapTableEntry(raw);
        var offset = entry.Cluster.Value;
        if (entry.HasReservedBits || (offset & (scan.Header.ClusterSize - 1)) != 0)
        {
            scan.Findings.Corruption(weight, scan.Findings.WantsLines ? $"bitmap table entry {raw:x16} is not valid" : null);
        }
        else if (offset != 0)
        {
            scan.Reference(MetadataKind.Bitmap, offset, scan.Header.ClusterSize, "a bitmap's data", weight);
        }
    }
}
