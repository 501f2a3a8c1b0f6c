using System.Buffers.Binary;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Fuzz;

/// <summary>What can be read of a damaged image: its disk, its snapshots and the names of its bitmaps.</summary>
internal sealed class ReadableContent
{
    private const int Piece = 512;

    private readonly Dictionary<string, List<byte[]?>> disks = new(StringComparer.Ordinal);

    /// <summary>Reads what can be read.</summary>
    public static async Task<ReadableContent> ReadAsync(byte[] image, byte[]? dataFile)
    {
        var content = new ReadableContent();
        await content.AddAsync("the disk", image, dataFile);
        if (image.Length > HeaderFields.CryptMethod + 4 && BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(HeaderFields.CryptMethod)) == 2)
        {
            await content.AddAsync("the disk, decrypted", image, dataFile, decrypts: true);
        }

        foreach (var (name, entry) in Snapshots(image))
        {
            // The snapshot's tables in the place of the active ones.
            var copy = (byte[])image.Clone();
            BinaryPrimitives.WriteInt64BigEndian(copy.AsSpan(HeaderFields.L1Offset), entry.L1Offset);
            BinaryPrimitives.WriteUInt32BigEndian(copy.AsSpan(HeaderFields.L1Entries), entry.L1Entries);
            BinaryPrimitives.WriteUInt64BigEndian(copy.AsSpan(HeaderFields.Size), entry.DiskSize ?? BinaryPrimitives.ReadUInt64BigEndian(copy.AsSpan(HeaderFields.Size)));
            await content.AddAsync(name, copy, dataFile);
        }

        return content;
    }

    /// <summary>What is lost in another state of the image, in words; null where nothing is.</summary>
    /// <param name="after">The other state.</param>
    /// <param name="mayDropSnapshots">A snapshot may be gone as a whole.</param>
    public string? LostIn(ReadableContent after, bool mayDropSnapshots)
    {
        foreach (var (name, pieces) in disks)
        {
            if (!after.disks.TryGetValue(name, out var now))
            {
                if (!name.StartsWith("snapshot ", StringComparison.Ordinal) || !mayDropSnapshots)
                {
                    return $"{name} is gone";
                }

                continue;
            }

            for (var i = 0; i < pieces.Count; i++)
            {
                if (pieces[i] is { } before && (i >= now.Count || now[i] is not { } read || !read.AsSpan().SequenceEqual(before)))
                {
                    return $"{name} at {i * Piece} {(i < now.Count && now[i] is not null ? "reads otherwise" : "cannot be read any more")}";
                }
            }
        }

        return null;
    }

    private static List<(string Name, SnapshotEntry Entry)> Snapshots(byte[] image)
    {
        List<(string, SnapshotEntry)> found = [];
        try
        {
            var header = Qcow2Header.ParseForCheck(image, "image");
            var at = header.SnapshotsOffset;
            for (var i = 0; i < header.SnapshotCount && found.Count < 8 && at > 0 && at < image.Length; i++)
            {
                var entry = SnapshotEntry.Read(image.AsSpan((int)at), "image", out var length);
                found.Add(($"snapshot {entry.Id} {entry.Name} {entry.L1Offset:x}", entry));
                at += length;
            }
        }
        catch (BlockException)
        {
            // What lies behind a damaged entry nobody can read.
        }

        return found;
    }

    private async Task AddAsync(string name, byte[] image, byte[]? dataFile, bool decrypts = false)
    {
        // Encrypted data is compared as it is stored; that of the disk with its passphrase as well.
        var plain = (byte[])image.Clone();
        if (!decrypts)
        {
            BinaryPrimitives.WriteUInt32BigEndian(plain.AsSpan(HeaderFields.CryptMethod), 0);
        }

        var pieces = new List<byte[]?>();
        try
        {
            await using var edge = await Qcow2Images.OpenAsync(
                new MemoryNode(plain), dataFile is null ? null : new MemoryNode(dataFile), null, new Qcow2OpenOptions { ReadOnly = true, ForCheck = true }, forCheck: true);
            if (edge.Length > 1 << 24)
            {
                return; // a snapshot's length is damaged too
            }

            for (var at = 0L; at < edge.Length; at += Piece)
            {
                var piece = new byte[Math.Min(Piece, edge.Length - at)];
                try
                {
                    await edge.ReadAsync(at, piece);
                    pieces.Add(piece);
                }
                catch (BlockException)
                {
                    pieces.Add(null);
                }
            }

            disks.TryAdd(name, pieces);
        }
        catch (BlockException)
        {
            // It cannot be opened: nothing of it is readable.
        }
    }
}
