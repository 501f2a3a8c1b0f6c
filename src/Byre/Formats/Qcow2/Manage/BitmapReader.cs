using System.Buffers.Binary;
using Byre.Bitmaps;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Reads the bitmap directory and stored bitmaps (qcow2 specification, "Bitmaps extension").</summary>
internal sealed class BitmapReader(BlockEdge file, Qcow2Header header)
{
    private const int MaxRead = 2 << 20;

    private readonly string name = file.Node.FileName.Length != 0 ? file.Node.FileName : file.Node.Name;

    /// <summary>The extension, checked; null where there is none, or where it counts as absent: a program that does not know it wrote to the image.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it makes no sense.</exception>
    public BitmapsExtension? Extension()
    {
        if (BitmapsExtension.BytesIn(header) is not { } extension)
        {
            return null;
        }

        if (extension.Length != BitmapsExtension.Length || !extension.Span[4..8].SequenceEqual("\0\0\0\0"u8)
            || BitmapsExtension.Read(extension.Span) is not { } place || !place.IsPlausible(header.ClusterSize)
            || (long)place.DirectoryOffset >= file.Length)
        {
            throw BitmapDirectory.Malformed(name, "the header's extension for bitmaps has numbers that cannot be right");
        }

        return place;
    }

    /// <summary>The directory's bytes.</summary>
    public async ValueTask<byte[]> DirectoryAsync(BitmapsExtension place)
    {
        if ((long)place.DirectoryOffset + (long)place.DirectoryBytes > ((file.Length + header.ClusterSize - 1) & -header.ClusterSize))
        {
            throw BitmapDirectory.Malformed(name, "it lies behind the end of the file");
        }

        var bytes = new byte[(int)place.DirectoryBytes];
        await PaddedReads.ReadAsync(file, (long)place.DirectoryOffset, bytes).ConfigureAwait(false);
        return bytes;
    }

    /// <summary>The entries of a directory.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it makes no sense.</exception>
    public List<BitmapDirectoryEntry> Entries(ReadOnlyMemory<byte> directory, BitmapsExtension place) =>
        BitmapDirectory.Read(directory, place.Count, header, name);

    /// <summary>The table of a bitmap.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it, or what it names, lies outside of the file.</exception>
    public async ValueTask<BitmapTableEntry[]> TableAsync(BitmapDirectoryEntry entry)
    {
        var bytes = new byte[entry.Fixed.TableEntries * 8]; // checked: at most 8 MiB
        if (entry.Fixed.TableOffset > file.Length - bytes.Length)
        {
            throw Malformed(entry, "its table lies behind the end of the file");
        }

        await file.ReadAsync(entry.Fixed.TableOffset, bytes).ConfigureAwait(false);
        var table = new BitmapTableEntry[entry.Fixed.TableEntries];
        for (var i = 0; i < table.Length; i++)
        {
            table[i] = new BitmapTableEntry(BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(i * 8)));
            var at = table[i].Cluster.Value;
            if (table[i].HasReservedBits || (at & (header.ClusterSize - 1)) != 0 || at >= file.Length)
            {
                throw Malformed(entry, $"entry {i} of its table, 0x{table[i].Raw:x}, is not valid");
            }
        }

        return table;
    }

    /// <summary>Reads the bits of a stored bitmap.</summary>
    public async ValueTask LoadAsync(BitmapDirectoryEntry entry, DirtyBitmap bitmap)
    {
        var table = await TableAsync(entry).ConfigureAwait(false);
        var bitsOfCluster = header.ClusterSize * 8L;
        var most = Math.Max(1, MaxRead >> header.ClusterBits);
        for (var i = 0; i < table.Length;)
        {
            var first = table[i].Cluster;
            var start = i * bitsOfCluster;
            var n = 1;
            if (first.Value == 0)
            {
                if (table[i].IsAllOnes)
                {
                    bitmap.Access(bits => bits.Set(start, Math.Min(bitsOfCluster, bits.Length - start)));
                }

                i++;
                continue;
            }

            while (n < most && i + n < table.Length && table[i + n].Cluster == first + ((long)n << header.ClusterBits))
            {
                n++;
            }

            using var buffer = BufferPool.Rent(n << header.ClusterBits);
            await PaddedReads.ReadAsync(file, first.Value, buffer.Memory).ConfigureAwait(false);
            bitmap.Access(bits => bits.CopyFrom(start, buffer.Memory.Span));
            i += n;
        }
    }

    private BlockException Malformed(BitmapDirectoryEntry entry, string what) => new(
        ErrorCode.Corrupt, $"The bitmap '{entry.Name}' of the image '{name}' is not valid: {what}", name);
}
