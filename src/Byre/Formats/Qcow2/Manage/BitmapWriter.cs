using System.Buffers.Binary;
using Byre.Bitmaps;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Writes bitmaps, their tables and their directory into clusters that are free until then, and remembers those.</summary>
internal sealed class BitmapWriter(BlockEdge file, HeaderStore headers, ClusterAllocator allocator)
{
    private const int MaxWrite = 2 << 20;

    private readonly List<FreedRange> taken = [];
    private readonly int clusterBits = headers.Header.ClusterBits;

    /// <summary>The clusters that were taken so far.</summary>
    public IReadOnlyList<FreedRange> Taken => taken;

    /// <summary>Writes the bits and the table of a bitmap.</summary>
    /// <returns>The bitmap's entry, with its new table.</returns>
    public async ValueTask<BitmapDirectoryEntry> WriteAsync(BitmapDirectoryEntry entry, DirtyBitmap bitmap)
    {
        var bits = bitmap.BitsToStore();
        var table = new ulong[BitmapDirectory.TableEntriesFor(bitmap.Length, entry.Fixed.GranularityBits, clusterBits)];
        var mixed = new List<int>();
        var bitsOfCluster = 8L << clusterBits;
        for (var i = 0; i < table.Length; i++)
        {
            var start = i * bitsOfCluster;
            var end = start + bitsOfCluster;
            if (bits.NextSet(start, end) < 0)
            {
                i += (int)((NextSetOrEnd(bits, end) - end) / bitsOfCluster); // all zeroes, as entry 0 says
            }
            else if (bits.NextClear(start, end) < 0)
            {
                table[i] = BitmapTableEntry.AllOnesBit;
            }
            else
            {
                mixed.Add(i);
            }
        }

        for (var done = 0; done < mixed.Count;)
        {
            var run = await TakeAsync(mixed.Count - done).ConfigureAwait(false);
            await WriteBitsAsync(bits, mixed, done, run, table).ConfigureAwait(false);
            done += run.Count;
        }

        var bytes = new byte[table.Length * 8];
        for (var i = 0; i < table.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * 8), table[i]);
        }

        var flags = (entry.Fixed.Flags & BitmapEntry.ExtraDataCompatible) | (bitmap.IsEnabled ? BitmapEntry.Auto : 0);
        var at = await WriteTableAsync(bytes).ConfigureAwait(false);
        return entry with { Fixed = entry.Fixed with { TableOffset = at.Value, TableEntries = (uint)table.Length, Flags = flags } };
    }

    /// <summary>Writes a table, or the directory, to clusters that follow one another.</summary>
    public async ValueTask<HostOffset> WriteTableAsync(byte[] bytes)
    {
        var clusters = (bytes.Length + headers.Header.ClusterSize - 1) >> clusterBits;
        var run = await allocator.AllocateAllAsync(clusters).ConfigureAwait(false);
        taken.Add(new FreedRange(run.Offset, run.Count, false));
        Array.Resize(ref bytes, clusters << clusterBits);
        await file.WriteAsync(run.Offset.Value, bytes).ConfigureAwait(false);
        return run.Offset;
    }

    /// <summary>Gives everything back that was taken; nothing on disk names it.</summary>
    public async ValueTask AbandonAsync()
    {
        foreach (var range in taken)
        {
            await allocator.ReturnAsync(range).ConfigureAwait(false); // what cannot be given back is leaked
        }

        taken.Clear();
    }

    private static long NextSetOrEnd(HierarchicalBitmap bits, long from)
    {
        var next = bits.NextSet(Math.Min(from, bits.Length));
        return next < 0 ? Math.Max(from, bits.Length) : next;
    }

    private async ValueTask<HostRun> TakeAsync(int count)
    {
        var run = await allocator.AllocateAsync(count).ConfigureAwait(false);
        taken.Add(new FreedRange(run.Offset, run.Count, false));
        return run;
    }

    private async ValueTask WriteBitsAsync(HierarchicalBitmap bits, List<int> mixed, int first, HostRun run, ulong[] table)
    {
        var most = Math.Max(1, MaxWrite >> clusterBits);
        for (var done = 0; done < run.Count;)
        {
            var n = Math.Min(most, run.Count - done);
            using var buffer = BufferPool.Rent(n << clusterBits);
            var at = run.Offset + ((long)done << clusterBits);
            for (var i = 0; i < n; i++)
            {
                var index = mixed[first + done + i];
                bits.CopyTo(index * (8L << clusterBits), buffer.Memory.Span.Slice(i << clusterBits, 1 << clusterBits));
                table[index] = (ulong)(at + ((long)i << clusterBits)).Value;
            }

            await file.WriteAsync(at.Value, buffer.Memory).ConfigureAwait(false);
            done += n;
        }
    }
}
