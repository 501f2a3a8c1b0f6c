using System.Buffers.Binary;

namespace Byre.Interop.Check;

/// <summary>The bytes of an image, and where its tables are, for tests that damage them.</summary>
internal sealed class TestImage(byte[] bytes)
{
    private const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;

    public byte[] Bytes { get; set; } = bytes;

    public int ClusterBits => (int)U32(20);

    public int ClusterSize => 1 << ClusterBits;

    public int L1 => (int)U64(40);

    public int L1Entries => (int)U32(36);

    public int RefcountTable => (int)U64(48);

    public int RefcountTableBytes => (int)U32(56) << ClusterBits;

    public int Snapshots => U32(60) == 0 ? 0 : (int)U64(64);

    public bool HasSubclusters => U32(4) == 3 && (U64(72) & 16) != 0;

    public IEnumerable<int> L2Tables => Words(L1, L1Entries * 8).Select(at => (int)(U64(at) & OffsetMask)).Where(Lies);

    public IEnumerable<int> Blocks => Words(RefcountTable, RefcountTableBytes).Select(at => (int)(U64(at) & ~511ul)).Where(Lies);

    /// <summary>The places of L2 entries that are not zero.</summary>
    public IEnumerable<int> L2Entries => L2Tables.SelectMany(table => Words(table, ClusterSize)).Where(at => U64(at) != 0)
        .Where(at => !HasSubclusters || at % 16 == 0);

    /// <summary>The places of all words of metadata that are not zero, and a few zeroes after them.</summary>
    public List<int> Metadata()
    {
        List<(int Start, int Length)> areas = [(L1, L1Entries * 8), (RefcountTable, RefcountTableBytes)];
        areas.AddRange(L2Tables.Select(t => (t, ClusterSize)));
        areas.AddRange(Blocks.Select(t => (t, ClusterSize)));
        if (Snapshots != 0)
        {
            areas.Add((Snapshots, 128));
            areas.AddRange([((int)U64(Snapshots), L1Entries * 8)]);
        }

        if (BitmapDirectory is var (directory, size) && size != 0)
        {
            areas.Add((directory, size));
            areas.Add(((int)U64(directory), 16));
        }

        List<int> found = [];
        foreach (var (start, length) in areas)
        {
            var words = Words(start, length).ToList();
            var used = words.FindLastIndex(at => U64(at) != 0);
            found.AddRange(words.Where((at, i) => U64(at) != 0 || i <= used + 4 && i % 7 == 0));
        }

        return found;
    }

    /// <summary>The bitmap directory's place and length, or zeroes.</summary>
    public (int Offset, int Size) BitmapDirectory
    {
        get
        {
            for (var at = U32(4) == 2 ? 72 : (int)U32(100); at + 8 < ClusterSize && U32(at) != 0; at += 8 + (((int)U32(at + 4) + 7) & ~7))
            {
                if (U32(at) == 0x23852875)
                {
                    return ((int)U64(at + 24), (int)U64(at + 16));
                }
            }

            return (0, 0);
        }
    }

    public uint U32(int at) => BinaryPrimitives.ReadUInt32BigEndian(Bytes.AsSpan(at));

    public ulong U64(int at) => BinaryPrimitives.ReadUInt64BigEndian(Bytes.AsSpan(at));

    public void Put(int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Bytes.AsSpan(at), value);

    private bool Lies(int at) => at > 0 && at + ClusterSize <= Bytes.Length;

    private IEnumerable<int> Words(int start, int length)
    {
        for (var at = start; at < start + length && at + 8 <= Bytes.Length; at += 8)
        {
            yield return at;
        }
    }
}
