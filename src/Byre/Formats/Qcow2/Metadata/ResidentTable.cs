using System.Buffers.Binary;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// A table of 8-byte entries that is in memory as a whole: the L1 table or the refcount table. Entries are read without a
/// lock; changes, and the knowledge of which sectors changed, belong to the holder of the metadata lock.
/// </summary>
internal sealed class ResidentTable
{
    private const int EntriesPerSector = 64;

    private readonly HashSet<int> dirty = [];
    private ulong[] entries;

    private ResidentTable(long offset, ulong[] entries)
    {
        Offset = offset;
        this.entries = entries;
    }

    /// <summary>Where it lies in the file.</summary>
    public long Offset { get; private set; }

    /// <summary>How many entries it has.</summary>
    public int Count => entries.Length;

    /// <summary>Something is to be written.</summary>
    public bool IsDirty => dirty.Count > 0;

    /// <summary>No entry names anything.</summary>
    public bool IsAllZero => !Volatile.Read(ref entries).AsSpan().ContainsAnyExcept(0UL);

    /// <summary>The entry at an index; 0 past the end.</summary>
    public ulong this[long index]
    {
        get
        {
            var now = Volatile.Read(ref entries);
            return index < now.Length ? Volatile.Read(ref now[index]) : 0;
        }
    }

    /// <summary>Reads a table.</summary>
    public static async ValueTask<ResidentTable> ReadAsync(BlockEdge file, long offset, int count)
    {
        var entries = new ulong[count];
        var bytes = new byte[Math.Min((long)count * 8, 1 << 20)];
        for (var at = 0; at < count;)
        {
            var n = Math.Min(count - at, bytes.Length / 8);
            await PaddedReads.ReadAsync(file, offset + (at * 8L), bytes.AsMemory(0, n * 8)).ConfigureAwait(false);
            for (var i = 0; i < n; i++)
            {
                entries[at + i] = BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(i * 8));
            }

            at += n;
        }

        return new ResidentTable(offset, entries);
    }

    /// <summary>Changes an entry. The caller holds the metadata lock.</summary>
    public void Set(long index, ulong value)
    {
        Volatile.Write(ref entries[index], value);
        dirty.Add((int)(index / EntriesPerSector));
    }

    /// <summary>A longer or shorter copy of the entries.</summary>
    public ulong[] CopyEntries(int count)
    {
        var copy = new ulong[count];
        entries.AsSpan(0, Math.Min(count, entries.Length)).CopyTo(copy);
        return copy;
    }

    /// <summary>The table is elsewhere, and all of it is on disk there. The caller holds the metadata lock.</summary>
    public void Replace(long newOffset, ulong[] newEntries)
    {
        Offset = newOffset;
        Volatile.Write(ref entries, newEntries);
        dirty.Clear();
    }

    /// <summary>
    /// The table is elsewhere and longer, and what it held before is on disk there, but for sectors that changed late. The
    /// caller holds the metadata lock.
    /// </summary>
    public void Move(long newOffset, int count, List<(int Sector, byte[] Bytes)> late)
    {
        Offset = newOffset;
        Volatile.Write(ref entries, CopyEntries(count)); // with what changed while it was written, which is in dirty
        PutBack(late);
    }

    /// <summary>Copies the sectors that changed; they count as clean from now on. The caller holds the metadata lock.</summary>
    public List<(int Sector, byte[] Bytes)> TakeDirty()
    {
        var taken = new List<(int, byte[])>(dirty.Count);
        foreach (var sector in dirty.Order())
        {
            var first = sector * EntriesPerSector;
            var bytes = new byte[Math.Min(EntriesPerSector, entries.Length - first) * 8];
            WriteEntries(entries.AsSpan(first, bytes.Length / 8), bytes);
            taken.Add((sector, bytes));
        }

        dirty.Clear();
        return taken;
    }

    /// <summary>Writing them failed: they are dirty again. The caller holds the metadata lock.</summary>
    public void PutBack(List<(int Sector, byte[] Bytes)> taken)
    {
        foreach (var (sector, _) in taken)
        {
            dirty.Add(sector);
        }
    }

    /// <summary>Writes the copies.</summary>
    public async ValueTask WriteAsync(BlockEdge file, List<(int Sector, byte[] Bytes)> taken)
    {
        foreach (var (sector, bytes) in taken)
        {
            await file.WriteAsync(Offset + (sector * EntriesPerSector * 8L), bytes).ConfigureAwait(false);
        }
    }

    /// <summary>Entries as they are on disk.</summary>
    public static void WriteEntries(ReadOnlySpan<ulong> from, Span<byte> to)
    {
        for (var i = 0; i < from.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(to[(i * 8)..], from[i]);
        }
    }
}
