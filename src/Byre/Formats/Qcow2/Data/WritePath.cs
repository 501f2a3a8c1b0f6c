using System.Runtime.CompilerServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Writes the guest's disk. What is mapped and not shared is written in place; else clusters are allocated, the data and
/// what must be copied around it is written, and then the clusters are linked.
/// </summary>
internal sealed class WritePath(
    BlockEdge? dataFile,
    DataClusters data,
    GuestMap map,
    ReadPath reads,
    ClusterAllocator allocator,
    InFlightAllocations claims,
    OverlapGuard guard,
    HeaderStore headers,
    bool punchReplaced,
    Func<long> imageLength)
{
    private const int GatherLimit = 256 << 10;

    private enum Way
    {
        InPlace,
        Reuse,
        Allocate,
    }

    /// <summary>Writes.</summary>
    public ValueTask WriteAsync(long guest, ReadOnlyMemory<byte> bytes)
    {
        if (map.TryFind(guest, bytes.Length, out var run) && run.Kind == SubclusterKind.Normal && run.IsCopied && run.Length == bytes.Length)
        {
            return WriteInPlaceAsync(run.Host, guest, bytes);
        }

        return WriteRunsAsync(guest, bytes);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteRunsAsync(long guest, ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var run = await map.FindAsync(guest, bytes.Length).ConfigureAwait(false);
            int n;
            if (run.Kind == SubclusterKind.Normal && run.IsCopied)
            {
                n = (int)run.Length;
                await WriteInPlaceAsync(run.Host, guest, bytes[..n]).ConfigureAwait(false);
            }
            else
            {
                n = (int)Math.Min(bytes.Length, map.SliceEnd(guest) - guest);
                var mask = -(long)map.ClusterSize;
                using var claim = await claims.ClaimAsync(guest & mask, (guest + n + map.ClusterSize - 1) & mask).ConfigureAwait(false);
                n = await WriteClaimedAsync(guest, bytes[..n]).ConfigureAwait(false);
            }

            guest += n;
            bytes = bytes[n..];
        }
    }

    private ValueTask WriteInPlaceAsync(HostOffset host, long guest, ReadOnlyMemory<byte> bytes)
    {
        if (dataFile is null && guard.Find(host, bytes.Length) is var hit && hit != OverlapChecks.None)
        {
            return RefuseAsync(host, hit);
        }

        data.Edge.DebugEvent(BlkdebugEvent.WriteAio);
        return data.WriteAsync(host.Value, guest, bytes);
    }

    private ValueTask RefuseOverlapAsync(in HostRun run) =>
        dataFile is null && guard.Find(run.Offset, (long)run.Count << map.ClusterBits) is var hit && hit != OverlapChecks.None
            ? RefuseAsync(run.Offset, hit) : default;

    private async ValueTask RefuseAsync(HostOffset host, OverlapChecks hit) =>
        throw await headers.CorruptAsync($"a write at {host} would overwrite {OverlapGuard.Describe(hit)}", host.Value).ConfigureAwait(false);

    /// <summary>Writes a prefix of the range, whose clusters are claimed and whose entries are in one slice.</summary>
    /// <returns>How many bytes.</returns>
    internal async ValueTask<int> WriteClaimedAsync(long guest, ReadOnlyMemory<byte> bytes)
    {
        var first = guest & -map.ClusterSize;
        var (way, run, entries) = await PlaceAsync(guest, bytes.Length).ConfigureAwait(false);
        var end = Math.Min(guest + bytes.Length, first + ((long)run.Count << map.ClusterBits));
        bytes = bytes[..(int)(end - guest)];
        if (way == Way.InPlace)
        {
            await WriteInPlaceAsync(run.Offset + (guest - first), guest, bytes).ConfigureAwait(false);
            return bytes.Length;
        }

        try
        {
            await FillAndLinkAsync(guest, bytes, run, entries, way).ConfigureAwait(false);
        }
        catch when (way == Way.Allocate && dataFile is null)
        {
            map.Abandon(new FreedRange(run.Offset, run.Count, false));
            throw;
        }

        return bytes.Length;
    }

    /// <summary>
    /// Lets the kernel put whole clusters into the file, which are claimed and whose entries are in one slice; the image has no
    /// data file.
    /// </summary>
    /// <param name="guest">The first cluster.</param>
    /// <param name="length">Bytes: whole clusters.</param>
    /// <param name="onlyNew">Not into clusters that the image has already: their space is reserved for what is written there.</param>
    /// <param name="put">Puts so many bytes to an offset in the file, or fewer, and says how many.</param>
    /// <returns>Bytes written from the front: whole clusters.</returns>
    internal async ValueTask<long> PutClaimedAsync(long guest, long length, bool onlyNew, Func<HostOffset, long, ValueTask<long>> put)
    {
        var (way, run, entries) = await PlaceAsync(guest, length).ConfigureAwait(false);
        if (onlyNew && way != Way.Allocate)
        {
            return 0;
        }

        var done = 0;
        try
        {
            await RefuseOverlapAsync(run).ConfigureAwait(false);
            data.Edge.DebugEvent(BlkdebugEvent.WriteAio);
            done = (int)(await put(run.Offset, (long)run.Count << map.ClusterBits).ConfigureAwait(false) >> map.ClusterBits);
            if (done > 0 && way != Way.InPlace)
            {
                var end = guest + ((long)done << map.ClusterBits);
                await LinkAsync(guest, run with { Count = done }, entries, way, guest, end).ConfigureAwait(false);
            }
        }
        catch when (way == Way.Allocate)
        {
            map.Abandon(new FreedRange(run.Offset, run.Count, false));
            throw;
        }

        if (way == Way.Allocate && done < run.Count)
        {
            // At once, so that what is written instead takes them: else a hole would stay in the file.
            var rest = new FreedRange(run.Offset + ((long)done << map.ClusterBits), run.Count - done, false);
            rest = await allocator.ReturnAsync(rest).ConfigureAwait(false);
            if (rest.Count > 0)
            {
                map.Abandon(rest);
            }
        }

        return (long)done << map.ClusterBits;
    }

    /// <summary>Where a prefix of a range goes, whose clusters are claimed and whose entries are in one slice.</summary>
    /// <returns>How it is written, the clusters that it is written to, and the entries of all clusters of the range.</returns>
    private async ValueTask<(Way Way, HostRun Run, L2Entry[] Entries)> PlaceAsync(long guest, long length)
    {
        await map.EnsureTableAsync(guest).ConfigureAwait(false);
        var first = guest & -map.ClusterSize;
        var count = (int)((guest + length - first + map.ClusterSize - 1) >> map.ClusterBits);
        var entries = await map.EntriesAsync(first, count).ConfigureAwait(false);
        var way = await WayOfAsync(entries[0], guest, guest + length).ConfigureAwait(false);
        var same = 1;
        while (same < count
            && (way == Way.Allocate || entries[same].Host == entries[same - 1].Host + map.ClusterSize)
            && await WayOfAsync(entries[same], first + ((long)same << map.ClusterBits), guest + length).ConfigureAwait(false) == way)
        {
            same++;
        }

        if (way != Way.Allocate)
        {
            return (way, new HostRun(entries[0].Host, same, false), entries);
        }

        var run = dataFile is not null
            ? new HostRun(new HostOffset(first), same, dataFile.Node.GrowsOnWrite && first >= dataFile.Length)
            : await allocator.AllocateAsync(same).ConfigureAwait(false);
        return (way, run, entries);
    }

    /// <summary>How the part of a range that lies in one cluster is written.</summary>
    private async ValueTask<Way> WayOfAsync(L2Entry entry, long guest, long end)
    {
        var cluster = guest & -map.ClusterSize;
        var last = (int)((Math.Min(end, cluster + map.ClusterSize) - 1 - cluster) / map.SubclusterSize);
        var way = entry.HasHost(map.Geometry) && entry.IsCopied ? Way.InPlace : Way.Allocate;
        for (var sub = (int)((guest - cluster) / map.SubclusterSize); sub <= last; sub++)
        {
            var kind = entry.KindAt(map.Geometry, sub);
            if (kind == SubclusterKind.Invalid)
            {
                throw await map.InvalidAsync(guest, entry.Raw).ConfigureAwait(false);
            }

            way = way == Way.InPlace && kind != SubclusterKind.Normal ? Way.Reuse : way;
        }

        return way;
    }

    private async ValueTask FillAndLinkAsync(long guest, ReadOnlyMemory<byte> bytes, HostRun run, L2Entry[] entries, Way way)
    {
        var first = guest & -map.ClusterSize;
        var end = guest + bytes.Length;
        var lastCluster = (end - 1) & -map.ClusterSize;
        var lastEntry = entries[(lastCluster - first) >> map.ClusterBits];
        var copyStart = CopyStart(entries[0], guest, way);
        var copyEnd = CopyEnd(lastEntry, end, way);
        await RefuseOverlapAsync(run).ConfigureAwait(false);
        var host = run.Offset.Value - first; // what is added to a guest offset
        var headIsZero = guest == copyStart || await IsZeroAsync(copyStart, guest).ConfigureAwait(false);
        var tailIsZero = end == copyEnd || await IsZeroAsync(end, copyEnd).ConfigureAwait(false);
        var readsZero = run.IsFresh && !data.IsEncrypted; // what is left out
        var from = readsZero && headIsZero ? guest : copyStart;
        var to = readsZero && tailIsZero ? end : copyEnd;
        data.Edge.DebugEvent(BlkdebugEvent.WriteAio);
        if (from == guest && to == end)
        {
            await data.WriteAsync(host + guest, guest, bytes).ConfigureAwait(false);
        }
        else if (to - from <= GatherLimit)
        {
            using var whole = BufferPool.Rent((int)(to - from));
            await FillAsync(from, whole.Memory[..(int)(guest - from)], headIsZero).ConfigureAwait(false);
            bytes.CopyTo(whole.Memory[(int)(guest - from)..]);
            await FillAsync(end, whole.Memory[(int)(end - from)..], tailIsZero).ConfigureAwait(false);
            data.Edge.DebugEvent(BlkdebugEvent.CowWrite);
            await data.WriteOwnAsync(host + from, from, whole.Memory).ConfigureAwait(false);
        }
        else
        {
            await CopyAsync(from, guest, host, headIsZero).ConfigureAwait(false);
            await data.WriteAsync(host + guest, guest, bytes).ConfigureAwait(false);
            await CopyAsync(end, to, host, tailIsZero).ConfigureAwait(false);
        }

        await LinkAsync(first, run, entries, way, copyStart, copyEnd).ConfigureAwait(false);
    }

    private async ValueTask LinkAsync(long first, HostRun run, L2Entry[] entries, Way way, long copyStart, long copyEnd)
    {
        var count = (int)((copyEnd - first + map.ClusterSize - 1) >> map.ClusterBits);
        var linked = new L2Entry[count];
        List<FreedRange>? freed = null;
        for (var i = 0; i < count; i++)
        {
            var cluster = first + ((long)i << map.ClusterBits);
            var old = entries[i];
            var bitmap = old.IsCompressed ? 0 : old.Bitmap;
            if (map.HasSubclusters)
            {
                var from = (int)((Math.Max(copyStart, cluster) - cluster) / map.SubclusterSize);
                var to = (int)((Math.Min(copyEnd, cluster + map.ClusterSize) - cluster + map.SubclusterSize - 1) / map.SubclusterSize);
                var bits = ((1UL << to) - 1) & ~((1UL << from) - 1);
                bitmap = (bitmap | bits) & ~(bits << 32);
            }

            linked[i] = L2Entry.Normal(map.Geometry, run.Offset + ((long)i << map.ClusterBits), copied: true, bitmap);
            if (way == Way.Allocate && dataFile is null)
            {
                if (old.IsCompressed)
                {
                    (freed ??= []).Add(map.CompressedRange(old, punchReplaced));
                }
                else if (old.HasHost(map.Geometry))
                {
                    (freed ??= []).Add(new FreedRange(old.Host, 1, punchReplaced));
                }
            }
        }

        await map.ChangeAsync(first, linked, freed).ConfigureAwait(false);
    }

    /// <summary>Where the first cluster's or subcluster's copy begins, so that it is whole.</summary>
    private long CopyStart(in L2Entry entry, long guest, Way way)
    {
        var cluster = guest & -map.ClusterSize;
        if (way == Way.Allocate && HoldsData(entry))
        {
            return cluster;
        }

        var sub = guest & -map.SubclusterSize;
        return way == Way.Reuse && entry.KindAt(map.Geometry, map.Geometry.SubclusterOf(sub)) == SubclusterKind.Normal ? guest : sub;
    }

    /// <summary>Where the last cluster's or subcluster's copy ends.</summary>
    private long CopyEnd(in L2Entry entry, long end, Way way)
    {
        var cluster = (end - 1) & -map.ClusterSize;
        if (way == Way.Allocate && HoldsData(entry))
        {
            return cluster + map.ClusterSize;
        }

        var sub = (end - 1) & -map.SubclusterSize;
        return way == Way.Reuse && entry.KindAt(map.Geometry, map.Geometry.SubclusterOf(sub)) == SubclusterKind.Normal
            ? end : sub + map.SubclusterSize;
    }

    /// <summary>A new cluster must take over bytes that this layer holds, wherever in the cluster they are.</summary>
    private bool HoldsData(in L2Entry entry) =>
        entry.IsCompressed || (entry.HasHost(map.Geometry) && (!map.HasSubclusters || entry.DataBits != 0));

    private ValueTask<bool> IsZeroAsync(long start, long end) => reads.IsZeroAsync(start, Math.Min(end, EndBehind(start)));

    /// <summary>Where what is stored ends that an offset is a part of: the disk, or the VM state behind it, which has no end.</summary>
    private long EndBehind(long guest)
    {
        var end = imageLength();
        return guest < map.VmStateStart(end) ? end : long.MaxValue;
    }

    /// <summary>Fills a buffer with what the guest's disk holds from an offset on; past its end zeroes.</summary>
    private async ValueTask FillAsync(long guest, Memory<byte> buffer, bool isZero)
    {
        var there = isZero ? 0 : (int)Math.Clamp(EndBehind(guest) - guest, 0, buffer.Length);
        buffer.Span[there..].Clear();
        if (there > 0)
        {
            data.Edge.DebugEvent(BlkdebugEvent.CowRead);
            await reads.ReadAsync(guest, buffer[..there]).ConfigureAwait(false);
        }
    }

    private async ValueTask CopyAsync(long start, long end, long host, bool isZero)
    {
        while (start < end)
        {
            using var piece = BufferPool.Rent((int)Math.Min(end - start, GatherLimit));
            await FillAsync(start, piece.Memory, isZero).ConfigureAwait(false);
            data.Edge.DebugEvent(BlkdebugEvent.CowWrite);
            await data.WriteOwnAsync(host + start, start, piece.Memory).ConfigureAwait(false);
            start += piece.Memory.Length;
        }
    }
}
