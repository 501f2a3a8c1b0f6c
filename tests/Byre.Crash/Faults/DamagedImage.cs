using System.Buffers.Binary;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>An image file in memory, its counts, and ways of spoiling them that lose no data.</summary>
internal sealed class DamagedImage(byte[] bytes)
{
    private const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    private const ulong Compressed = 1ul << 62;

    /// <summary>The damages by their names; each spoils an image's bytes.</summary>
    public static IReadOnlyDictionary<string, Action<DamagedImage, Random>> Damages { get; } = new Dictionary<string, Action<DamagedImage, Random>>
    {
        ["leaks"] = (image, random) => image.ChangeCounts(random, (used, count) => used || random.Next(3) > 0 ? count : 1),
        ["counts too low"] = (image, random) => image.ChangeCounts(random, (used, count) => random.Next(2) == 0 && count > 0 ? count - 1 : count),
        ["counts wrong"] = (image, random) => image.ChangeCounts(random, (_, count) => random.Next(3) == 0 ? (ulong)random.Next(2) : count),
        ["all counts 0"] = (image, random) => image.ChangeCounts(random, (_, _) => 0),
        ["flags"] = (image, random) => image.ChangeEntries(raw => random.Next(3) == 0 && (raw & Compressed) == 0 ? raw ^ (1ul << 63) : raw),
        ["no refcount table"] = (image, _) => image.Put((int)image.Header.RefcountTableOffset, 0),
        ["a block at no cluster's beginning"] = (image, _) => image.Put((int)image.Header.RefcountTableOffset, image.Word((int)image.Header.RefcountTableOffset) + 512),
        ["an incomplete snapshot"] = (image, _) => image.ShortenSnapshot(),
        ["bitmaps that nothing can read, and counts too low"] = (image, random) =>
        {
            image.AddBitmaps();
            image.ChangeCounts(random, (used, count) => random.Next(3) == 0 && count > 0 ? count - 1 : count);
        },
        ["flags and counts"] = (image, random) =>
        {
            image.ChangeEntries(raw => random.Next(3) == 0 && (raw & Compressed) == 0 ? raw ^ (1ul << 63) : raw);
            image.ChangeCounts(random, (_, count) => random.Next(3) == 0 ? (ulong)random.Next(2) : count);
        },
    };

    public byte[] Bytes => bytes;

    public Qcow2Header Header { get; } = Qcow2Header.Parse(bytes, "damaged");

    /// <summary>Reads what can be read of the disk, cluster by cluster; null where a cluster cannot.</summary>
    public static async Task<byte[]?[]> ReadAsync(byte[] file, CrashImage image, byte[]? dataFile)
    {
        var options = new Qcow2OpenOptions { ReadOnly = true, ForCheck = true };
        await using var edge = await Qcow2Images.OpenAsync(
            new MemoryNode(file), dataFile is null ? null : new MemoryNode(dataFile), image.MakeBacking(), options);
        var size = ((Qcow2Node)edge.Node).Header.ClusterSize;
        var content = new byte[]?[(edge.Length + size - 1) / size];
        for (var i = 0; i < content.Length; i++)
        {
            var cluster = new byte[Math.Min(size, edge.Length - ((long)i * size))];
            try
            {
                await edge.ReadAsync((long)i * size, cluster);
                content[i] = cluster;
            }
            catch (BlockException)
            {
                // A damaged entry.
            }
        }

        return content;
    }

    /// <summary>The stored count of every cluster in the file; where there is no block it is 0.</summary>
    public ulong[] Counts()
    {
        var counts = new ulong[(bytes.Length + Header.ClusterSize - 1) / Header.ClusterSize];
        for (var i = 0; i < counts.Length; i++)
        {
            var (block, index) = Place(i);
            counts[i] = block < 0 ? 0 : RefcountWidth.Get(bytes.AsSpan(block, Header.ClusterSize), Header.RefcountOrder, index);
        }

        return counts;
    }

    /// <summary>The last snapshot's entry has less extra data than version 3 wants.</summary>
    private void ShortenSnapshot()
    {
        if (Header.SnapshotCount != 1)
        {
            return;
        }

        var at = (int)Header.SnapshotsOffset;
        var extra = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(at + 36));
        var tail = bytes[(at + 40 + extra)..(at + 40 + extra + bytes[at + 13] + bytes[at + 15])];
        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(at + 36), 8);
        tail.CopyTo(bytes, at + 48);
    }

    /// <summary>Bitmaps whose directory is nowhere.</summary>
    private void AddBitmaps()
    {
        var at = Header.HeaderLength + Header.Extensions.Sum(e => 8 + ((e.Data.Length + 7) & ~7));
        if (Header.Version < 3 || at + 40 > Header.ClusterSize || bytes.AsSpan(at, 40).ContainsAnyExcept((byte)0))
        {
            return;
        }

        Put(HeaderFields.Autoclear, Word(HeaderFields.Autoclear) | 1);
        Put(at, (0x23852875ul << 32) + 24);
        Put(at + 8, 2ul << 32);
        Put(at + 16, 100);
        Put(at + 24, 12345);
    }

    /// <summary>An entry says that it may be written in place, and its cluster's count is not 1.</summary>
    public bool HasUnsafeFlag()
    {
        var counts = Counts();
        var isUnsafe = false;
        ChangeEntries(raw =>
        {
            var cluster = (long)(raw & OffsetMask) >> Header.ClusterBits;
            isUnsafe |= (raw >> 63) != 0 && (cluster >= counts.Length || counts[cluster] != 1);
            return raw;
        });
        return isUnsafe;
    }

    private ulong Word(int at) => BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at));

    private void Put(int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(at), value);

    /// <summary>Where a cluster's count is: its block's place in the file or -1, and the index there.</summary>
    private (int Block, int Index) Place(int cluster)
    {
        var entries = (Header.ClusterSize * 8) >> Header.RefcountOrder;
        var at = (int)Header.RefcountTableOffset + (cluster / entries * 8);
        var inTable = cluster / entries * 8 < (int)Header.RefcountTableClusters << Header.ClusterBits;
        var block = inTable && at + 8 <= bytes.Length ? (long)(Word(at) & OffsetMask) : 0;
        return block == 0 || block % Header.ClusterSize != 0 || block + Header.ClusterSize > bytes.Length ? (-1, 0) : ((int)block, cluster % entries);
    }

    private void ChangeCounts(Random random, Func<bool, ulong, ulong> change)
    {
        var entries = (Header.ClusterSize * 8) >> Header.RefcountOrder;
        var counts = Counts();
        var end = Math.Min(counts.Length + 4, (counts.Length + entries - 1) / entries * entries); // a few behind the file's end
        for (var i = 0; i < end; i++)
        {
            var (block, index) = Place(i);
            if (block >= 0)
            {
                var was = i < counts.Length ? counts[i] : 0;
                RefcountWidth.Set(bytes.AsSpan(block, Header.ClusterSize), Header.RefcountOrder, index, change(was != 0, was));
            }
        }
    }

    private void ChangeEntries(Func<ulong, ulong> change)
    {
        for (var i = 0; i < Header.L1Entries; i++)
        {
            var at = (int)Header.L1Offset + (i * 8);
            var table = (int)(Word(at) & OffsetMask);
            if (table == 0)
            {
                continue;
            }

            Put(at, change(Word(at)));
            for (var entry = table; entry < table + Header.ClusterSize; entry += Header.L2EntrySize)
            {
                if ((Word(entry) & OffsetMask) != 0)
                {
                    Put(entry, change(Word(entry)));
                }
            }
        }
    }
}
