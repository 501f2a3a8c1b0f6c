using Byre.Nodes;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>The bitmap directory as a whole (qcow2 specification, "Bitmap directory").</summary>
internal static class BitmapDirectory
{
    /// <summary>The longest a stored bitmap may be, in bytes; the same bound as QEMU's.</summary>
    internal const long MaxBitmapBytes = 512L << 20;

    /// <summary>The most bits that fit into it.</summary>
    internal const long MaxBits = MaxBitmapBytes * 8;

    /// <summary>Reads a directory, and checks every entry.</summary>
    /// <param name="bytes">The directory.</param>
    /// <param name="count">How many entries the extension says it has.</param>
    /// <param name="header">The image's header.</param>
    /// <param name="image">What messages call the image.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it makes no sense.</exception>
    internal static List<BitmapDirectoryEntry> Read(ReadOnlyMemory<byte> bytes, uint count, Qcow2Header header, string image)
    {
        var entries = new List<BitmapDirectoryEntry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var at = 0; at < bytes.Length;)
        {
            var rest = bytes[at..];
            if (rest.Length < BitmapEntry.FixedLength || BitmapEntry.Read(rest.Span) is var start && start.Length > rest.Length)
            {
                throw Malformed(image, "an entry is cut off");
            }

            if (entries.Count == count)
            {
                throw Malformed(image, $"it has more than the {count} bitmaps that the header tells of");
            }

            start = BitmapEntry.Read(rest.Span);
            if (start.ProblemIn(header) is { } wrong)
            {
                throw Malformed(image, $"entry {entries.Count} has {wrong}");
            }

            var extra = (int)start.ExtraBytes;
            var entry = new BitmapDirectoryEntry(
                start, rest.Slice(BitmapEntry.FixedLength, extra), rest.Slice(BitmapEntry.FixedLength + extra, start.NameLength));
            if (!names.Add(entry.Name))
            {
                throw Malformed(image, $"it has two bitmaps '{entry.Name}'");
            }

            entries.Add(entry);
            at += (int)start.Length;
        }

        return entries.Count == count
            ? entries
            : throw Malformed(image, $"it has {entries.Count} bitmaps, and the header tells of {count}");
    }

    /// <summary>The bytes of a directory.</summary>
    internal static byte[] ToBytes(IReadOnlyList<BitmapDirectoryEntry> entries)
    {
        var bytes = new byte[entries.Sum(e => e.Fixed.Length)];
        var at = 0;
        foreach (var entry in entries)
        {
            entry.Write(bytes.AsSpan(at));
            at += (int)entry.Fixed.Length;
        }

        return bytes;
    }

    /// <summary>Entries of the table of a bitmap over a disk: its bits are stored in words of 64.</summary>
    internal static long TableEntriesFor(long diskBytes, int granularityBits, int clusterBits)
    {
        var bits = CeilingShift(diskBytes, granularityBits);
        return CeilingShift(CeilingShift(bits, 6) * 8, clusterBits);
    }

    /// <summary>A failure that names the image.</summary>
    internal static BlockException Malformed(string image, string what) =>
        new(ErrorCode.Corrupt, $"The bitmap directory of the image '{image}' is not valid: {what}", image);

    private static long CeilingShift(long value, int bits) => (value >> bits) + ((value & ((1L << bits) - 1)) != 0 ? 1 : 0);
}
