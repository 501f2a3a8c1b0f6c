using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// The mapping from the guest's disk to host clusters: looks entries up, without a lock where a table's slice is in memory,
/// and changes them under the metadata lock.
/// </summary>
internal sealed class GuestMap : EntryFormat
{
    private readonly BlockEdge file;
    private readonly Lock gate;
    private readonly ResidentTable l1;
    private readonly SliceCache l2;
    private readonly HeaderStore headers;
    private readonly ClusterAllocator allocator;
    private readonly Quarantine quarantine;
    private readonly OverlapGuard guard;
    private readonly AsyncMutex tableLock = new();
    private readonly int entrySize;
    private readonly int l2Bits;

    public GuestMap(
        BlockEdge file, bool hasDataFile, Lock gate, ResidentTable l1, SliceCache l2, HeaderStore headers, ClusterAllocator allocator, Quarantine quarantine, OverlapGuard guard)
        : base(headers.Header, hasDataFile)
    {
        this.file = file;
        this.gate = gate;
        this.l1 = l1;
        this.l2 = l2;
        this.headers = headers;
        this.allocator = allocator;
        this.quarantine = quarantine;
        this.guard = guard;
        entrySize = HasSubclusters ? 16 : 8;
        l2Bits = ClusterBits - (HasSubclusters ? 4 : 3);
    }

    /// <summary>The end of the range whose entries are in the same slice as that of an offset.</summary>
    public long SliceEnd(long guest)
    {
        var span = (long)(l2.SliceSize / entrySize) << ClusterBits;
        return (guest & -span) + span;
    }

    /// <summary>The end of the range whose entries are in the same table.</summary>
    public long TableEnd(long guest) => ((guest >> (ClusterBits + l2Bits)) + 1) << (ClusterBits + l2Bits);

    /// <summary>There is a table for the range around an offset.</summary>
    public bool HasTable(long guest) => (l1[guest >> (ClusterBits + l2Bits)] & OffsetMask) != 0;

    /// <summary>What the tables say at an offset, and how far.</summary>
    /// <param name="guest">The offset.</param>
    /// <param name="max">The most bytes wanted, at least 1.</param>
    /// <param name="run">The answer.</param>
    /// <returns>False where the table's slice is not in memory.</returns>
    public bool TryFind(long guest, long max, out GuestRun run)
    {
        var table = (long)(l1[guest >> (ClusterBits + l2Bits)] & OffsetMask);
        if (table == 0)
        {
            run = new GuestRun(SubclusterKind.UnallocatedPlain, Math.Min(max, TableEnd(guest) - guest), -1, false, 0);
            return true;
        }

        var position = ((guest >> ClusterBits) & ((1L << l2Bits) - 1)) * entrySize;
        if ((table & (ClusterSize - 1)) != 0)
        {
            run = new GuestRun(SubclusterKind.Invalid, 1, -1, false, (ulong)table);
            return true;
        }

        if (!l2.TryGet(table + (position & -l2.SliceSize), out var slice))
        {
            run = default;
            return false;
        }

        var at = (int)(position & (l2.SliceSize - 1));
        if (HasSubclusters)
        {
            lock (gate)
            {
                run = FindExtended(slice.Bytes, at, guest, max);
            }
        }
        else
        {
            run = FindStandard(slice.Bytes, at, guest, max);
        }

        return true;
    }

    /// <summary>As <see cref="TryFind"/>, and reads the slice if need be.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: the entry cannot be true.</exception>
    public async ValueTask<GuestRun> FindAsync(long guest, long max)
    {
        GuestRun run;
        while (!TryFind(guest, max, out run))
        {
            await LoadAsync(guest).ConfigureAwait(false);
        }

        return run.Kind == SubclusterKind.Invalid ? throw await InvalidAsync(guest, run.Raw).ConfigureAwait(false) : run;
    }

    /// <summary>The failure for an entry that cannot be true.</summary>
    public ValueTask<BlockException> InvalidAsync(long guest, ulong raw) =>
        headers.CorruptAsync($"the table entry 0x{raw:x} for the guest offset 0x{guest:x} is not valid", guest);

    /// <summary>Brings the slice with an offset's entry into memory. There is a table.</summary>
    public async ValueTask<CacheSlice> LoadAsync(long guest)
    {
        var table = (long)(l1[guest >> (ClusterBits + l2Bits)] & OffsetMask);
        if (table == 0 || (table & (ClusterSize - 1)) != 0)
        {
            throw await InvalidAsync(guest, (ulong)table).ConfigureAwait(false);
        }

        var position = ((guest >> ClusterBits) & ((1L << l2Bits) - 1)) * entrySize;
        return await l2.GetAsync(table + (position & -l2.SliceSize)).ConfigureAwait(false);
    }

    /// <summary>The entries of clusters of one slice. The caller has locked the clusters, so that they stay as they are.</summary>
    public async ValueTask<ClusterEntry[]> EntriesAsync(long guest, int count)
    {
        if (!HasTable(guest))
        {
            return new ClusterEntry[count];
        }

        var slice = await LoadAsync(guest).ConfigureAwait(false);
        var entries = new ClusterEntry[count];
        lock (gate)
        {
            var at = PositionInSlice(guest);
            for (var i = 0; i < count; i++)
            {
                entries[i] = ReadEntry(slice.Bytes, at + (i * entrySize));
            }
        }

        return entries;
    }

    /// <summary>Changes the entries of clusters of one slice, and gives up what they named before, in one step.</summary>
    /// <param name="guest">The first cluster.</param>
    /// <param name="entries">The new entries. The table exists and has one reference.</param>
    /// <param name="freed">What loses a reference by it.</param>
    public async ValueTask ChangeAsync(long guest, ReadOnlyMemory<ClusterEntry> entries, List<FreedRange>? freed)
    {
        while (true)
        {
            var slice = await LoadAsync(guest).ConfigureAwait(false);
            lock (gate)
            {
                if (!slice.IsResident)
                {
                    continue;
                }

                var at = PositionInSlice(guest);
                var span = entries.Span;
                for (var i = 0; i < span.Length; i++)
                {
                    BinaryPrimitives.WriteUInt64BigEndian(slice.Bytes.AsSpan(at + (i * entrySize)), span[i].Raw);
                    if (HasSubclusters)
                    {
                        BinaryPrimitives.WriteUInt64BigEndian(slice.Bytes.AsSpan(at + (i * entrySize) + 8), span[i].Bitmap);
                    }
                }

                l2.MarkDirty(slice);
                foreach (var range in freed ?? [])
                {
                    quarantine.Add(range);
                }

                return;
            }
        }
    }

    /// <summary>Makes sure that there is a table for an offset that has one reference only, so that it can be changed.</summary>
    public async ValueTask EnsureTableAsync(long guest)
    {
        var index = guest >> (ClusterBits + l2Bits);
        if ((l1[index] & Copied) != 0 && (l1[index] & OffsetMask) != 0)
        {
            return;
        }

        await tableLock.WaitAsync().ConfigureAwait(false);
        try
        {
            var entry = l1[index];
            var old = (long)(entry & OffsetMask);
            if ((entry & Copied) != 0 && old != 0)
            {
                return;
            }

            var run = await allocator.AllocateAsync(1).ConfigureAwait(false);
            try
            {
                await FillTableAsync(run, old).ConfigureAwait(false);
            }
            catch
            {
                await allocator.ReleaseAsync(new FreedRange(run.Offset, 1, false)).ConfigureAwait(false);
                throw;
            }

            lock (gate)
            {
                l2.Forget(run.Offset, ClusterSize);
                l1.Set(index, (ulong)run.Offset | Copied);
                guard.Add(OverlapChecks.ActiveL2, run.Offset, ClusterSize);
                if (old != 0)
                {
                    guard.Remove(OverlapChecks.ActiveL2, old, ClusterSize);
                    quarantine.Add(new FreedRange(old, 1, false));
                }
            }
        }
        finally
        {
            tableLock.Release();
        }
    }

    private int PositionInSlice(long guest) =>
        (int)((((guest >> ClusterBits) & ((1L << l2Bits) - 1)) * entrySize) & (l2.SliceSize - 1));

    private ClusterEntry ReadEntry(byte[] bytes, int at) => new(
        BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at)),
        HasSubclusters ? BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at + 8)) : 0);

    private GuestRun FindStandard(byte[] bytes, int at, long guest, long max)
    {
        var raw = BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at));
        var entry = new ClusterEntry(raw, 0);
        var kind = KindOf(entry, 0);
        var within = guest & (ClusterSize - 1);
        var length = ClusterSize - within;
        var mapped = kind is SubclusterKind.Normal or SubclusterKind.ZeroAllocated;
        var host = mapped ? HostOf(entry) + within : -1;
        if (kind is not (SubclusterKind.Compressed or SubclusterKind.Invalid))
        {
            var step = mapped ? (ulong)ClusterSize : 0;
            var expected = raw;
            for (at += 8; at < bytes.Length && length < max; at += 8)
            {
                expected += step;
                if (BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at)) != expected)
                {
                    break;
                }

                length += ClusterSize;
            }
        }

        return new GuestRun(kind, Math.Min(length, max), host, (raw & Copied) != 0, raw);
    }

    private GuestRun FindExtended(byte[] bytes, int at, long guest, long max)
    {
        var entry = ReadEntry(bytes, at);
        var sub = (int)((guest & (ClusterSize - 1)) / SubclusterSize);
        var kind = KindOf(entry, sub);
        var hasHost = HasHost(entry);
        var host = hasHost ? HostOf(entry) + (guest & (ClusterSize - 1)) : -1;
        var copied = (entry.Raw & Copied) != 0;
        var first = entry.Raw;
        if (kind == SubclusterKind.Compressed)
        {
            return new GuestRun(kind, Math.Min(ClusterSize - (guest & (ClusterSize - 1)), max), -1, false, first);
        }

        long length = SubclusterSize - (guest & (SubclusterSize - 1));
        while (kind != SubclusterKind.Invalid && length < max)
        {
            if (++sub == 32)
            {
                sub = 0;
                at += 16;
                if (at >= bytes.Length)
                {
                    break;
                }

                var next = ReadEntry(bytes, at);
                if (hasHost && (HostOf(next) != HostOf(entry) + ClusterSize || ((next.Raw ^ entry.Raw) & Copied) != 0))
                {
                    break;
                }

                entry = next;
            }

            if (KindOf(entry, sub) != kind)
            {
                break;
            }

            length += SubclusterSize;
        }

        return new GuestRun(kind, Math.Min(length, max), host, copied, first);
    }

    private async ValueTask FillTableAsync(HostRun run, long old)
    {
        if (old == 0)
        {
            await file.WriteZeroesAsync(run.Offset, ClusterSize, run.IsFresh ? WriteFlags.MayUnmap : WriteFlags.None).ConfigureAwait(false);
            return;
        }

        var copy = new byte[ClusterSize];
        await PaddedReads.ReadAsync(file, old, copy).ConfigureAwait(false);
        await file.WriteAsync(run.Offset, copy).ConfigureAwait(false);
    }
}
