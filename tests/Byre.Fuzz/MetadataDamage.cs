using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Fuzz;

/// <summary>Damages the metadata of an image behind its header: a few words, with values that look right at a glance.</summary>
internal sealed class MetadataDamage(byte[] image, Random random)
{
    private const long OffsetMask = 0x00ff_ffff_ffff_fe00;

    private readonly Qcow2Header header = Qcow2Header.Parse(image, "seed");
    private readonly List<List<int>> areas = [];

    /// <summary>A damaged copy.</summary>
    public byte[] Damaged()
    {
        FindAreas();
        var bytes = (byte[])image.Clone();
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            // An area first, so that small tables are hit as often as large ones.
            var area = areas[random.Next(areas.Count)];
            var at = area[random.Next(area.Count)];
            Put(bytes, at, Changed(Word(at), area));
        }

        if (random.Next(25) == 0)
        {
            // A pointer of the header.
            var field = new[] { HeaderFields.RefcountTableOffset, HeaderFields.SnapshotsOffset }[random.Next(2)];
            Put(bytes, field, Changed(Word(field), areas[0]));
        }

        return random.Next(25) == 0 ? bytes[..random.Next(bytes.Length / 2, bytes.Length)] : bytes;
    }

    private void FindAreas()
    {
        Add((int)header.L1Offset, (int)header.L1Entries * 8);
        AddTables((int)header.L1Offset, (int)header.L1Entries * 8);
        Add((int)header.RefcountTableOffset, (int)header.RefcountTableClusters << header.ClusterBits);
        AddTables((int)header.RefcountTableOffset, (int)header.RefcountTableClusters << header.ClusterBits);
        var at = (int)header.SnapshotsOffset;
        for (var i = 0; i < header.SnapshotCount; i++)
        {
            var entry = SnapshotEntry.Read(image.AsSpan(at), "seed", out var length);
            Add(at, length);
            Add((int)entry.L1Offset, (int)entry.L1Entries * 8);
            AddTables((int)entry.L1Offset, (int)entry.L1Entries * 8);
            at += length;
        }

        if (header.FindExtension(HeaderExtensionTypes.Bitmaps) is { } extension && BitmapsExtension.Read(extension.Data.Span) is { } place)
        {
            Add((int)place.DirectoryOffset, (int)place.DirectoryBytes);
            for (at = (int)place.DirectoryOffset; at < (int)(place.DirectoryOffset + place.DirectoryBytes);)
            {
                var entry = BitmapEntry.Read(image.AsSpan(at));
                Add((int)entry.TableOffset, (int)entry.TableEntries * 8);
                at += (int)entry.Length;
            }
        }
    }

    private void AddTables(int start, int length)
    {
        for (var at = start; at < start + length; at += 8)
        {
            if ((int)((long)Word(at) & OffsetMask) is > 0 and var table)
            {
                Add(table, header.ClusterSize);
            }
        }
    }

    /// <summary>The words that are not zero, and some that are.</summary>
    private void Add(int start, int length)
    {
        var words = Enumerable.Range(start / 8, length / 8).Select(i => i * 8).Where(at => at + 8 <= image.Length).ToList();
        var used = words.FindAll(at => Word(at) != 0 || at % 56 == 0);
        if (used.Count > 0)
        {
            areas.Add(used);
        }
    }

    private ulong Changed(ulong old, List<int> area) => random.Next(10) switch
    {
        0 or 1 => old ^ (1ul << random.Next(64)),
        2 => old ^ (1ul << 63),
        3 => 0,
        4 => old + 512,
        5 => Word(area[random.Next(area.Count)]),
        6 => old + (ulong)header.ClusterSize,
        7 => (ulong)(uint)(random.Next(image.Length) & -header.ClusterSize) | (1ul << 63),
        8 => old + (ulong)(image.Length & -header.ClusterSize),
        _ => (ulong)random.NextInt64(),
    };

    private ulong Word(int at) => BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan(at));

    private static void Put(byte[] bytes, int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(at), value);
}
