using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Changes the bitmap directory on disk: flags in place, everything else by a new directory that one write of the header's
/// sector makes the valid one.
/// </summary>
internal sealed class BitmapStore(
    BlockEdge file, HeaderStore headers, ClusterAllocator allocator, WriteBackRound round, OverlapGuard guard, Lock gate)
{
    private byte[] directory = [];
    private HostOffset place;

    /// <summary>The directory was read.</summary>
    public void Found(HostOffset offset, byte[] bytes)
    {
        place = offset;
        directory = bytes;
    }

    /// <summary>
    /// Says on stable storage that bitmaps are in use: whoever finds them so must not trust them. Where it fails nothing is
    /// known to be marked.
    /// </summary>
    public async ValueTask MarkAsync(IReadOnlyList<StoredBitmap> all, IReadOnlyCollection<StoredBitmap> marked)
    {
        var next = (byte[])directory.Clone();
        var (first, last) = (int.MaxValue, 0);
        var at = 0;
        foreach (var bitmap in all.Where(b => b.IsOnDisk))
        {
            if (marked.Contains(bitmap))
            {
                var entry = bitmap.Entry.Fixed with { Flags = bitmap.Entry.Fixed.Flags | BitmapEntry.InUse };
                entry.Write(next.AsSpan(at));
                first = Math.Min(first, at);
                last = at + BitmapEntry.FixedLength;
            }

            at += (int)bitmap.Entry.Fixed.Length;
        }

        if (last > 0)
        {
            await file.WriteAsync(place.Value + first, next.AsMemory(first, last - first)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
            directory = next;
            foreach (var bitmap in marked)
            {
                bitmap.Entry = bitmap.Entry with { Fixed = bitmap.Entry.Fixed with { Flags = bitmap.Entry.Fixed.Flags | BitmapEntry.InUse } };
            }
        }
    }

    /// <summary>
    /// Writes bitmaps and a directory of those that remain, and makes it the valid one. What it replaces is free afterwards.
    /// </summary>
    /// <param name="remaining">What the directory is to have, in its order; all are in it afterwards.</param>
    /// <param name="written">Those of them that are written; the others' entries and tables stay as they are.</param>
    /// <param name="gone">What the directory has no more.</param>
    /// <exception cref="BlockException">It failed; the directory is the one it was.</exception>
    public async ValueTask ReplaceAsync(
        IReadOnlyList<StoredBitmap> remaining, IReadOnlyCollection<StoredBitmap> written, IReadOnlyCollection<StoredBitmap> gone)
    {
        var old = await OldClustersAsync(written.Concat(gone)).ConfigureAwait(false);
        var writer = new BitmapWriter(file, headers, allocator);
        var entries = new List<BitmapDirectoryEntry>();
        byte[] bytes;
        var offset = HostOffset.Zero;
        var isSwitching = false;
        try
        {
            foreach (var bitmap in remaining)
            {
                entries.Add(written.Contains(bitmap) ? await writer.WriteAsync(bitmap.Entry, bitmap.Bitmap).ConfigureAwait(false) : bitmap.Entry);
            }

            bytes = BitmapDirectory.ToBytes(entries);
            if (bytes.Length > 0)
            {
                offset = await writer.WriteTableAsync(bytes).ConfigureAwait(false);
            }

            // What is counted and written is durable before the header leads to it.
            await round.RunAsync(all: true).ConfigureAwait(false);
            await round.SyncAsync().ConfigureAwait(false);
            isSwitching = true;
            await headers.RewriteAsync(h => Switch(h, entries.Count, bytes.Length, offset)).ConfigureAwait(false);
        }
        catch
        {
            await UndoAsync(writer, isSwitching).ConfigureAwait(false);
            throw;
        }

        Adopt(remaining, written, entries, bytes, offset, old);
        foreach (var range in old)
        {
            await allocator.ReturnAsync(range).ConfigureAwait(false); // what cannot be given back is leaked
        }
    }

    private static Qcow2Header Switch(Qcow2Header header, int count, int bytes, HostOffset offset)
    {
        if (count == 0)
        {
            return header.WithExtension(HeaderExtensionTypes.Bitmaps, null) with { Autoclear = header.Autoclear & ~AutoclearFeatures.Bitmaps };
        }

        if (header.Version < 3)
        {
            throw new BlockException(ErrorCode.NotSupported, "images of version 2 cannot keep bitmaps");
        }

        var extension = new byte[BitmapsExtension.Length];
        new BitmapsExtension((uint)count, (ulong)bytes, (ulong)offset.Value).Write(extension);
        return header.WithExtension(HeaderExtensionTypes.Bitmaps, extension) with { Autoclear = header.Autoclear | AutoclearFeatures.Bitmaps };
    }

    /// <summary>What was written is given back, unless the header may lead to it.</summary>
    private async ValueTask UndoAsync(BitmapWriter writer, bool isSwitching)
    {
        try
        {
            if (isSwitching)
            {
                await headers.SettleAsync().ConfigureAwait(false);
            }

            await writer.AbandonAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // The first failure is the cause; the clusters are leaked.
        }
    }

    private void Adopt(
        IReadOnlyList<StoredBitmap> remaining,
        IReadOnlyCollection<StoredBitmap> written,
        List<BitmapDirectoryEntry> entries,
        byte[] bytes,
        HostOffset offset,
        List<FreedRange> old)
    {
        (place, directory) = (offset, bytes);
        lock (gate)
        {
            foreach (var range in old)
            {
                guard.Remove(OverlapChecks.BitmapDirectory, range.Offset, range.Count << headers.Header.ClusterBits);
            }

            guard.Add(OverlapChecks.BitmapDirectory, place, directory.Length);
            for (var i = 0; i < entries.Count; i++)
            {
                guard.Add(OverlapChecks.BitmapDirectory, new HostOffset(entries[i].Fixed.TableOffset), entries[i].Fixed.TableEntries * 8L);
            }
        }

        for (var i = 0; i < entries.Count; i++)
        {
            remaining[i].Entry = entries[i];
            remaining[i].IsOnDisk = true;
            remaining[i].IsMarked &= !written.Contains(remaining[i]);
        }
    }

    /// <summary>What the directory and some bitmaps take on disk. Of a table that cannot be read, nothing.</summary>
    private async ValueTask<List<FreedRange>> OldClustersAsync(IEnumerable<StoredBitmap> bitmaps)
    {
        var header = headers.Header;
        var result = new List<FreedRange>();
        Add(result, place, directory.Length, header);
        foreach (var bitmap in bitmaps.Where(b => b.IsOnDisk))
        {
            var reader = new BitmapReader(file, header);
            try
            {
                foreach (var entry in await reader.TableAsync(bitmap.Entry).ConfigureAwait(false))
                {
                    Add(result, entry.Cluster, entry.Cluster.Value == 0 ? 0 : header.ClusterSize, header);
                }
            }
            catch (BlockException)
            {
                continue; // a table that makes no sense may lie over something else: its clusters are leaked
            }

            Add(result, new HostOffset(bitmap.Entry.Fixed.TableOffset), bitmap.Entry.Fixed.TableEntries * 8L, header);
        }

        return result;
    }

    private static void Add(List<FreedRange> ranges, HostOffset offset, long bytes, Qcow2Header header)
    {
        var count = (bytes + header.ClusterSize - 1) >> header.ClusterBits;
        if (count == 0)
        {
            return;
        }

        if (ranges.Count > 0 && ranges[^1] is var last && last.Offset + (last.Count << header.ClusterBits) == offset)
        {
            ranges[^1] = last with { Count = last.Count + count };
            return;
        }

        ranges.Add(new FreedRange(offset, count, false));
    }
}
