using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Makes ranges read as zeroes, or gives their space back, by changing the mapping.</summary>
internal sealed class ZeroAndDiscard(
    BlockEdge? dataFile,
    BlockEdge? backing,
    GuestMap map,
    ReadPath reads,
    WritePath writes,
    InFlightAllocations claims,
    bool isRawData,
    Qcow2OpenOptions options,
    Func<long> imageLength)
{
    /// <summary>Makes a range read as zeroes without writing them; in a part of a compressed cluster they are written.</summary>
    /// <param name="guest">Where it begins.</param>
    /// <param name="length">Its length.</param>
    /// <param name="mayUnmap">The space may go.</param>
    /// <param name="fast">No data is written: not in a part of a compressed cluster either.</param>
    /// <returns>False where zeroes must be written.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/> with <paramref name="fast"/>, where the raw data file cannot.</exception>
    public async ValueTask<bool> TryZeroAsync(long guest, long length, bool mayUnmap, bool fast = false)
    {
        var end = guest + length;
        var whole = end == imageLength() ? Up(end) : end;
        if (((guest | whole) & (map.SubclusterSize - 1)) != 0)
        {
            // A part of a subcluster: it is enough if all of that reads as zeroes already, and goes on to over another backing file.
            var (first, last) = (guest & -map.SubclusterSize, (end + map.SubclusterSize - 1) & -map.SubclusterSize);
            if ((!map.CanFlagZero && backing is not null) || !await IsZeroAsync(first, Math.Min(imageLength(), last)).ConfigureAwait(false))
            {
                return false;
            }

            if (map.CanFlagZero && !isRawData)
            {
                await ChangeAsync(first, last, FlagAbsentAsync, flagsZero: true).ConfigureAwait(false);
            }

            return true;
        }

        if (!map.CanFlagZero)
        {
            if (backing is not null)
            {
                return false;
            }

            await ChangeAsync(guest, whole, (at, stop) => UnmapAsync(at, stop, full: false, options.PassDiscardRequest)).ConfigureAwait(false);
            return true;
        }

        if (fast && (await CutsCompressedAsync(guest).ConfigureAwait(false) || await CutsCompressedAsync(whole).ConfigureAwait(false)))
        {
            return false;
        }

        if (isRawData)
        {
            var there = Math.Min(end, dataFile!.Length);
            if (guest < there || dataFile.Node.GrowsOnWrite)
            {
                var flags = (mayUnmap ? WriteFlags.MayUnmap : WriteFlags.None) | (fast ? WriteFlags.NoFallback : WriteFlags.None);
                await dataFile.WriteZeroesAsync(guest, end - guest, flags).ConfigureAwait(false);
            }
        }

        await ChangeAsync(guest, whole, (at, stop) => FlagZeroAsync(at, stop, mayUnmap), flagsZero: true).ConfigureAwait(false);
        return true;
    }

    /// <summary>The place, where a range begins or ends, lies inside of a compressed cluster, which would be written anew.</summary>
    private async ValueTask<bool> CutsCompressedAsync(long at)
    {
        var cluster = at & -map.ClusterSize;
        return cluster != at && (await map.EntriesAsync(cluster, 1).ConfigureAwait(false))[0].IsCompressed;
    }

    /// <summary>All of a range reads as zeroes, by what the tables of this layer and of those below say.</summary>
    private async ValueTask<bool> IsZeroAsync(long start, long end)
    {
        while (start < end)
        {
            var run = await map.FindAsync(start, end - start).ConfigureAwait(false);
            var isAbsent = run.Kind is SubclusterKind.UnallocatedPlain or SubclusterKind.UnallocatedAllocated;
            if (!reads.IsZero(run.Kind, start)
                && !(isAbsent && await BackingZeroes.AreThereAsync(backing!, start, start + run.Length).ConfigureAwait(false)))
            {
                return false;
            }

            start += run.Length;
        }

        return true;
    }

    /// <summary>Gives the space of whole clusters back; the last cluster of the disk may be a part.</summary>
    public async ValueTask DiscardAsync(long guest, long length)
    {
        var end = guest + length == imageLength() ? Up(guest + length) : (guest + length) & -map.ClusterSize;
        var start = Up(guest);
        if (start >= end || (!map.CanFlagZero && backing is not null))
        {
            return; // without zero flags a discarded cluster would show what the backing file holds
        }

        if (isRawData)
        {
            var stop = Math.Min(Math.Min(end, imageLength()), dataFile!.Length);
            if (start < stop)
            {
                await dataFile.WriteZeroesAsync(start, stop - start, WriteFlags.MayUnmap).ConfigureAwait(false);
            }
        }

        await ChangeAsync(start, end, (at, stop) => UnmapAsync(at, stop, full: false, options.PassDiscardRequest)).ConfigureAwait(false);
    }

    /// <summary>Forgets all that this layer says of whole clusters: they are beyond the disk's end.</summary>
    public ValueTask CutAsync(long start, long end) =>
        ChangeAsync(start, end, (at, stop) => UnmapAsync(at, stop, full: true, punch: true), skipsAbsent: true);

    /// <summary>Does something to all clusters of a range, those of one slice at a time.</summary>
    /// <remarks>
    /// Where nothing is mapped and there is no backing file, there is nothing to unmap; but zeroes that were written are
    /// flagged even there, so that they stay zeroes when the image is given a backing file later.
    /// </remarks>
    private async ValueTask ChangeAsync(long start, long end, Func<long, long, ValueTask> change, bool flagsZero = false, bool skipsAbsent = false)
    {
        while (start < end)
        {
            if (!flagsZero && !map.HasTable(start) && (backing is null || skipsAbsent))
            {
                start = map.TableEnd(start);
                continue;
            }

            var stop = Math.Min(end, map.SliceEnd(start));
            using (await claims.ClaimAsync(start & -map.ClusterSize, Up(stop)).ConfigureAwait(false))
            {
                await change(start, stop).ConfigureAwait(false);
            }

            start = stop;
        }
    }

    private async ValueTask FlagZeroAsync(long start, long end, bool mayUnmap)
    {
        var first = start & -map.ClusterSize;
        var entries = await map.EntriesAsync(first, (int)((Up(end) - first) >> map.ClusterBits)).ConfigureAwait(false);
        var changed = new L2Entry[entries.Length];
        List<FreedRange>? freed = null;
        List<(long Start, int Length)>? asData = null;
        var any = false;
        for (var i = 0; i < entries.Length; i++)
        {
            var cluster = first + ((long)i << map.ClusterBits);
            var from = Math.Max(start, cluster);
            var to = Math.Min(end, cluster + map.ClusterSize);
            changed[i] = entries[i];
            if (to - from == map.ClusterSize)
            {
                changed[i] = await ZeroedAsync(entries[i], mayUnmap, freed ??= []).ConfigureAwait(false);
            }
            else if (entries[i].IsCompressed)
            {
                (asData ??= []).Add((from, (int)(to - from)));
            }
            else
            {
                var bits = SubclusterBits(from - cluster, to - cluster);
                changed[i] = entries[i] with { Bitmap = (entries[i].Bitmap & ~bits) | (bits << 32) };
            }

            any |= changed[i] != entries[i];
        }

        if (any)
        {
            await map.EnsureTableAsync(first).ConfigureAwait(false);
            await map.ChangeAsync(first, changed, freed).ConfigureAwait(false);
        }

        foreach (var (at, length) in asData ?? [])
        {
            var zeroes = new byte[length];
            for (var done = 0; done < length;)
            {
                done += await writes.WriteClaimedAsync(at + done, zeroes.AsMemory(done)).ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// Flags whole subclusters that the image has nothing of. What it has itself stays: it was zero when the caller looked, or
    /// has been written since.
    /// </summary>
    private async ValueTask FlagAbsentAsync(long start, long end)
    {
        var first = start & -map.ClusterSize;
        var entries = await map.EntriesAsync(first, (int)((Up(end) - first) >> map.ClusterBits)).ConfigureAwait(false);
        var changed = (L2Entry[])entries.Clone();
        for (var at = start; at < end; at += map.SubclusterSize)
        {
            var i = (int)((at - first) >> map.ClusterBits);
            var within = at & (map.ClusterSize - 1);
            if (entries[i].KindAt(map.Geometry, (int)(within / map.SubclusterSize)) is SubclusterKind.UnallocatedPlain or SubclusterKind.UnallocatedAllocated)
            {
                changed[i] = map.Geometry.HasSubclusters
                    ? changed[i] with { Bitmap = changed[i].Bitmap | (SubclusterBits(within, within + map.SubclusterSize) << 32) }
                    : L2Entry.ZeroPlain(map.Geometry);
            }
        }

        if (!changed.AsSpan().SequenceEqual(entries))
        {
            await map.EnsureTableAsync(first).ConfigureAwait(false);
            await map.ChangeAsync(first, changed, null).ConfigureAwait(false);
        }
    }

    private async ValueTask<L2Entry> ZeroedAsync(L2Entry entry, bool mayUnmap, List<FreedRange> freed)
    {
        if (IsFlaggedZero(entry) && !(mayUnmap && entry.HasHost(map.Geometry)))
        {
            return entry;
        }

        var plain = L2Entry.ZeroPlain(map.Geometry);
        if (entry.IsCompressed)
        {
            freed.Add(map.CompressedRange(entry, options.PassDiscardOther));
            return plain;
        }

        if (!mayUnmap || options.DiscardNoUnref || !entry.HasHost(map.Geometry) || isRawData)
        {
            return entry.HasHost(map.Geometry) ? entry.Zeroed(map.Geometry) : plain;
        }

        await FreeAsync(entry, options.PassDiscardRequest, freed).ConfigureAwait(false);
        return plain;
    }

    private async ValueTask UnmapAsync(long start, long end, bool full, bool punch)
    {
        var first = start & -map.ClusterSize;
        var entries = await map.EntriesAsync(first, (int)((Up(end) - first) >> map.ClusterBits)).ConfigureAwait(false);
        var changed = new L2Entry[entries.Length];
        var freed = new List<FreedRange>();
        var any = false;
        for (var i = 0; i < entries.Length; i++)
        {
            var entry = entries[i];
            var compressed = entry.IsCompressed;
            var hasHost = entry.HasHost(map.Geometry);
            var isSomething = compressed || hasHost || entry.Raw != 0 || entry.Bitmap != 0;
            changed[i] = full ? default
                : backing is null && !isSomething ? entry
                : map.CanFlagZero ? L2Entry.ZeroPlain(map.Geometry)
                : default;
            if (compressed)
            {
                freed.Add(map.CompressedRange(entry, punch));
            }
            else if (hasHost && !full && options.DiscardNoUnref)
            {
                changed[i] = entry.Zeroed(map.Geometry);
            }
            else if (hasHost)
            {
                await FreeAsync(entry, punch, freed).ConfigureAwait(false);
            }

            any |= changed[i] != entries[i];
        }

        if (any)
        {
            await map.EnsureTableAsync(first).ConfigureAwait(false);
            await map.ChangeAsync(first, changed, freed).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A host cluster goes. In an external data file it has no refcount and its place belongs to the guest's cluster for ever,
    /// so the space is given back at once.
    /// </summary>
    private async ValueTask FreeAsync(L2Entry entry, bool punch, List<FreedRange> freed)
    {
        if (dataFile is null)
        {
            freed.Add(new FreedRange(entry.Host, 1, punch));
        }
        else if (punch && !isRawData)
        {
            var host = entry.Host.Value;
            var stop = Math.Min(host + map.ClusterSize, dataFile.Length);
            if (host < stop)
            {
                await dataFile.DiscardAsync(host, stop - host).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The layer itself says that all of the cluster is zero.</summary>
    private bool IsFlaggedZero(in L2Entry entry)
    {
        for (var sub = 0; sub < map.Subclusters; sub++)
        {
            if (entry.KindAt(map.Geometry, sub) is not (SubclusterKind.ZeroPlain or SubclusterKind.ZeroAllocated))
            {
                return false;
            }
        }

        return true;
    }

    private ulong SubclusterBits(long from, long to) =>
        ((1UL << (int)(to / map.SubclusterSize)) - 1) & ~((1UL << (int)(from / map.SubclusterSize)) - 1);

    private long Up(long offset) => (offset + map.ClusterSize - 1) & -map.ClusterSize;
}
