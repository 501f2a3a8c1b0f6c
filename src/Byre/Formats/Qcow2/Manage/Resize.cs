using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Changes the length of the guest's disk.</summary>
internal sealed class Resize(
    BlockEdge file,
    BlockEdge? dataFile,
    BlockEdge? backing,
    L1Growth growth,
    HeaderStore headers,
    ClusterAllocator allocator,
    GuestMap map,
    bool isEncrypted,
    ReadPath reads,
    WritePath writes,
    ZeroAndDiscard zeroes,
    WriteBackRound round,
    InFlightAllocations claims,
    bool isRawData)
{
    private const int Sector = 512;
    private const int Chunk = 1 << 20;

    /// <summary>Resizes. Nobody uses what is beyond a lower end.</summary>
    public async ValueTask RunAsync(long before, long length, Preallocation preallocation, Action<long> setLength)
    {
        var name = file.Node.FileName;
        if (length % Sector != 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"The size of the image '{name}' must be a multiple of {Sector} bytes", name);
        }

        if (headers.Header is { SnapshotCount: > 0, Version: < 3 })
        {
            throw new BlockException(
                ErrorCode.NotSupported, $"The image '{name}' of version 2 has snapshots, which do not know their own length: it cannot be resized", name);
        }

        if (length < before)
        {
            if (preallocation != Preallocation.Off)
            {
                throw new BlockException(ErrorCode.Invalid, "Preallocation is for space that an image gains, and this one shrinks", name);
            }

            await ShrinkAsync(before, length, setLength).ConfigureAwait(false);
        }
        else if (length > before)
        {
            if (isEncrypted && preallocation != Preallocation.Off && !map.CanFlagZero)
            {
                throw new BlockException(
                    ErrorCode.NotSupported, $"The encrypted image '{name}' of version 2 cannot be preallocated: it could not say that the new space is zero", name);
            }

            await GrowAsync(before, length, preallocation, setLength).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// The header says first that the disk is shorter; then what is beyond is unlinked and freed, and when that is durable the
    /// unused end of the file goes.
    /// </summary>
    private async ValueTask ShrinkAsync(long before, long length, Action<long> setLength)
    {
        await headers.UpdateAsync(h => h with { Size = length }).ConfigureAwait(false);
        setLength(length);
        await CutAsync(length, Math.Max(before, map.MappedEnd)).ConfigureAwait(false); // VM state goes, too: its place is another now
        map.DropTablesBeyond(length);
        await round.CleanAsync().ConfigureAwait(false);
        await allocator.CutFileAsync(round).ConfigureAwait(false);
        await round.CleanAsync().ConfigureAwait(false);
        if (dataFile is { Node.GrowsOnWrite: true } && dataFile.Length > length)
        {
            await dataFile.ResizeAsync(length).ConfigureAwait(false);
        }
    }

    private ValueTask CutAsync(long from, long to)
    {
        var mask = -(long)map.ClusterSize;
        return zeroes.CutAsync((from + map.ClusterSize - 1) & mask, (to + map.ClusterSize - 1) & mask);
    }

    private async ValueTask GrowAsync(long before, long length, Preallocation preallocation, Action<long> setLength)
    {
        await growth.EnsureAsync(length).ConfigureAwait(false);

        // What a resize that was cut short left behind the end must not come to light.
        await CutAsync(before, length).ConfigureAwait(false);
        await CloseOldEndAsync(before, length).ConfigureAwait(false);
        if (dataFile is { Node.GrowsOnWrite: true } && dataFile.Length < length)
        {
            await dataFile.ResizeAsync(length).ConfigureAwait(false);
        }

        var shows = backing is null ? 0 : Math.Min(length, backing.Length);
        if (shows > before)
        {
            await HideBackingAsync((before + map.ClusterSize - 1) & -map.ClusterSize, shows).ConfigureAwait(false);
        }

        if (preallocation != Preallocation.Off || isRawData)
        {
            await PreallocateAsync(before, length, preallocation).ConfigureAwait(false);
        }

        // The tables are on disk before the header makes them count.
        await round.RunAsync().ConfigureAwait(false);
        await round.SyncAsync().ConfigureAwait(false);
        await headers.UpdateAsync(h => h with { Size = length }).ConfigureAwait(false);
        setLength(length);
    }

    /// <summary>What the backing file holds behind the old end must not come to light; version 2 needs written zeroes for it.</summary>
    private async ValueTask HideBackingAsync(long from, long shows)
    {
        if (map.CanFlagZero && shows > from)
        {
            await zeroes.TryZeroAsync(from, ((shows + map.ClusterSize - 1) & -map.ClusterSize) - from, mayUnmap: true).ConfigureAwait(false);
            return;
        }

        var zero = new byte[(int)Math.Clamp(shows - from, 0, Chunk)];
        for (var at = from; at < shows; at += zero.Length)
        {
            await writes.WriteAsync(at, zero.AsMemory(0, (int)Math.Min(zero.Length, shows - at))).ConfigureAwait(false);
        }
    }

    /// <summary>What the last cluster holds past the old end becomes visible: it must be zero.</summary>
    private async ValueTask CloseOldEndAsync(long before, long length)
    {
        var end = Math.Min(length, (before + map.ClusterSize - 1) & -map.ClusterSize);
        while (before < end)
        {
            var run = await map.FindAsync(before, end - before).ConfigureAwait(false);
            var n = run.Length;
            if (!reads.IsZero(run.Kind, before))
            {
                n = Math.Min(n, Chunk);
                await writes.WriteAsync(before, new byte[n]).ConfigureAwait(false);
            }

            before += n;
        }
    }

    /// <summary>Gives every cluster of a range a host cluster, so that writing to it later allocates nothing.</summary>
    private async ValueTask PreallocateAsync(long before, long length, Preallocation preallocation)
    {
        var mask = -(long)map.ClusterSize;
        var data = dataFile ?? file;
        for (var at = (before + map.ClusterSize - 1) & mask; at < length;)
        {
            var count = (int)Math.Min((Math.Min(map.SliceEnd(at), (length + map.ClusterSize - 1) & mask) - at) >> map.ClusterBits, 4096);
            using (await claims.ClaimAsync(at, at + ((long)count << map.ClusterBits)).ConfigureAwait(false))
            {
                await map.EnsureTableAsync(at).ConfigureAwait(false);
                var run = dataFile is not null
                    ? new HostRun(new HostOffset(at), count, false)
                    : await allocator.AllocateAsync(count).ConfigureAwait(false);
                var old = await map.EntriesAsync(at, run.Count).ConfigureAwait(false);
                var bytes = Math.Min((long)run.Count << map.ClusterBits, dataFile is not null ? length - at : long.MaxValue);
                try
                {
                    await FillAsync(data, run, bytes, preallocation).ConfigureAwait(false);
                }
                catch when (dataFile is null)
                {
                    map.Abandon(new FreedRange(run.Offset, run.Count, true));
                    throw;
                }

                var entries = new L2Entry[run.Count];
                for (var i = 0; i < entries.Length; i++)
                {
                    // Zeroed clusters over a longer backing file stay zero, with a place of their own; and zeroes on the host are
                    // none to the guest of an encrypted image.
                    var host = run.Offset + ((long)i << map.ClusterBits);
                    entries[i] = old[i].KindAt(map.Geometry, 0) == SubclusterKind.ZeroPlain || (isEncrypted && !map.HasSubclusters)
                        ? L2Entry.ZeroAllocated(map.Geometry, host, copied: true)
                        : L2Entry.Normal(map.Geometry, host, copied: true, old[i].Bitmap);
                }

                await map.ChangeAsync(at, entries, null).ConfigureAwait(false);
                at += (long)run.Count << map.ClusterBits;
            }
        }
    }

    private static async ValueTask FillAsync(BlockEdge data, HostRun run, long bytes, Preallocation preallocation)
    {
        if (preallocation == Preallocation.Full)
        {
            var zero = new byte[Math.Min(bytes, Chunk)];
            for (long at = 0; at < bytes; at += zero.Length)
            {
                await data.WriteAsync(run.Offset.Value + at, zero.AsMemory(0, (int)Math.Min(zero.Length, bytes - at))).ConfigureAwait(false);
            }
        }
        else if (preallocation == Preallocation.Falloc)
        {
            await data.WriteZeroesAsync(run.Offset.Value, bytes).ConfigureAwait(false);
        }
        else if (!run.IsFresh || data.Length < run.Offset.Value + bytes)
        {
            await data.WriteZeroesAsync(run.Offset.Value, bytes, WriteFlags.MayUnmap).ConfigureAwait(false);
        }
    }
}
