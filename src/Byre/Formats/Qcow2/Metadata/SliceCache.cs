using System.Collections.Concurrent;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// The slices of one kind of table that are in memory. Hits take no lock. Dirty slices are written by write-back rounds
/// only; when room is needed and all slices are dirty, a round is asked for.
/// </summary>
/// <remarks>Everything that changes something holds <c>gate</c>, the image's metadata lock; nothing is awaited under it.</remarks>
internal sealed class SliceCache(BlockEdge file, Lock gate, int sliceSize, int limit)
{
    private readonly ConcurrentDictionary<long, CacheSlice> slices = new();
    private readonly List<CacheSlice> resident = [];
    private readonly List<CacheSlice> dirty = [];
    private int hand;
    private int generation; // counts slices that left after a change: what was read from the disk before is stale

    /// <summary>Bytes in a slice.</summary>
    public int SliceSize => sliceSize;

    /// <summary>How many slices are in memory. Read without the lock it is a hint.</summary>
    public int Count => resident.Count;

    /// <summary>How many slices are dirty. Read without the lock it is a hint.</summary>
    public int DirtyCount => dirty.Count;

    /// <summary>Writes dirty slices, so that they can be dropped. Set once, before the first use.</summary>
    public Func<ValueTask>? WriteBack { get; set; }

    /// <summary>Told before a slice is read from the disk.</summary>
    public BlkdebugEvent LoadEvent { get; init; } = BlkdebugEvent.L2Load;

    /// <summary>The slice at an offset, if it is in memory.</summary>
    public bool TryGet(long offset, out CacheSlice slice)
    {
        if (!slices.TryGetValue(offset, out slice!))
        {
            return false;
        }

        if (!slice.IsUsed)
        {
            slice.IsUsed = true;
        }

        return true;
    }

    /// <summary>The slice at an offset, read from the file if need be.</summary>
    /// <param name="offset">A multiple of the slice size.</param>
    /// <param name="mayWriteBack">False within a write-back round: then the cache may grow past its limit.</param>
    public async ValueTask<CacheSlice> GetAsync(long offset, bool mayWriteBack = true)
    {
        while (true)
        {
            if (TryGet(offset, out var slice))
            {
                return slice;
            }

            var seen = Volatile.Read(ref generation);
            var bytes = new byte[sliceSize];
            file.DebugEvent(LoadEvent);
            await PaddedReads.ReadAsync(file, offset, bytes).ConfigureAwait(false);
            lock (gate)
            {
                if (slices.TryGetValue(offset, out var existing))
                {
                    return existing;
                }

                if (seen != generation)
                {
                    continue;
                }

                slice = new CacheSlice(offset, bytes) { IsResident = true, IsUsed = true, Index = resident.Count };
                resident.Add(slice);
                slices[offset] = slice;
            }

            await TrimAsync(slice, mayWriteBack).ConfigureAwait(false);
            return slice;
        }
    }

    /// <summary>A slice was changed. The caller holds the metadata lock.</summary>
    public void MarkDirty(CacheSlice slice)
    {
        slice.WasChanged = true;
        if (!slice.IsDirty)
        {
            slice.IsDirty = true;
            dirty.Add(slice);
        }
    }

    /// <summary>Copies all dirty slices for writing; they count as clean from now on. The caller holds the metadata lock.</summary>
    public SliceCopies? TakeDirty()
    {
        if (dirty.Count == 0)
        {
            return null;
        }

        dirty.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        var copies = new SliceCopies([.. dirty], sliceSize);
        foreach (var slice in dirty)
        {
            slice.IsDirty = false;
            slice.IsWriting = true;
        }

        dirty.Clear();
        return copies;
    }

    /// <summary>The copies are written, or writing them failed: then their slices are dirty again. Takes the lock.</summary>
    public void Finish(SliceCopies copies, bool written)
    {
        lock (gate)
        {
            foreach (var slice in copies.Slices)
            {
                slice.IsWriting = false;
                if (!written && slice.IsResident)
                {
                    MarkDirty(slice);
                }
            }
        }
    }

    /// <summary>Forgets what is known of a range of the file, changed or not. The caller holds the metadata lock.</summary>
    public void Forget(long offset, long length)
    {
        for (var at = offset; at < offset + length; at += sliceSize)
        {
            if (slices.TryGetValue(at, out var slice))
            {
                if (slice.IsDirty)
                {
                    dirty.Remove(slice);
                    slice.IsDirty = false;
                }

                Remove(slice);
            }
        }

        generation++;
    }

    /// <summary>Drops all slices, of which none is dirty: what they are read from changes past the cache. Takes the lock.</summary>
    public void DropAll()
    {
        lock (gate)
        {
            for (var i = resident.Count - 1; i >= 0; i--)
            {
                if (resident[i] is { IsDirty: false, IsWriting: false } slice)
                {
                    Remove(slice);
                }
            }

            generation++;
        }
    }

    /// <summary>Drops the slices that nobody used since the last call. Takes the lock.</summary>
    public void DropUnused()
    {
        lock (gate)
        {
            for (var i = resident.Count - 1; i >= 0; i--)
            {
                var slice = resident[i];
                if (slice.IsUsed)
                {
                    slice.IsUsed = false;
                }
                else if (!slice.IsDirty && !slice.IsWriting)
                {
                    Remove(slice); // the last one takes its place: it was looked at already
                }
            }
        }
    }

    private async ValueTask TrimAsync(CacheSlice keep, bool mayWriteBack)
    {
        var hasWritten = !mayWriteBack;
        while (true)
        {
            lock (gate)
            {
                while (resident.Count > limit && TryEvict(keep))
                {
                }

                if (resident.Count <= limit || hasWritten)
                {
                    return;
                }
            }

            hasWritten = true;
            if (WriteBack is not null)
            {
                await WriteBack().ConfigureAwait(false);
            }
        }
    }

    private bool TryEvict(CacheSlice keep)
    {
        for (var steps = resident.Count * 2; steps > 0; steps--)
        {
            hand = hand + 1 < resident.Count ? hand + 1 : 0;
            var slice = resident[hand];
            if (slice.IsDirty || slice.IsWriting || ReferenceEquals(slice, keep))
            {
                continue;
            }

            if (slice.IsUsed)
            {
                slice.IsUsed = false;
                continue;
            }

            Remove(slice);
            return true;
        }

        return false;
    }

    private void Remove(CacheSlice slice)
    {
        slices.TryRemove(slice.Offset, out _);
        slice.IsResident = false;
        var last = resident[^1];
        resident[slice.Index] = last;
        last.Index = slice.Index;
        resident.RemoveAt(resident.Count - 1);
        if (slice.WasChanged)
        {
            generation++;
        }
    }
}
