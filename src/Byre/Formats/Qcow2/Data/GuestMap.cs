using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// The mapping from the guest's disk to host clusters: looks entries up, without a lock where a table's slice is in memory,
/// and changes them under the metadata lock.
/// </summary>
internal sealed class GuestMap
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
    private readonly ImageGeometry geometry;
    private readonly int entrySize;

    public GuestMap(
        BlockEdge file, Lock gate, ResidentTable l1, SliceCache l2, HeaderStore headers, ClusterAllocator allocator, Quarantine quarantine, OverlapGuard guard)
    {
        this.file = file;
        this.gate = gate;
        this.l1 = l1;
        this.l2 = l2;
        this.headers = headers;
        this.allocator = allocator;
        this.quarantine = quarantine;
        this.guard = guard;
        geometry = ImageGeometry.From(headers.Header);
        entrySize = geometry.L2EntrySize;
    }

    /// <summary>The image's sizes: what entries mean.</summary>
    public ref readonly ImageGeometry Geometry => ref geometry;

    /// <summary>The binary logarithm of the cluster size.</summary>
    public int ClusterBits => geometry.ClusterBits;

    /// <summary>Bytes in a cluster.</summary>
    public int ClusterSize => geometry.ClusterSize;

    /// <summary>Entries are extended.</summary>
    public bool HasSubclusters => geometry.HasSubclusters;

    /// <summary>Subclusters in a cluster: 32, or 1.</summary>
    public int Subclusters => geometry.SubclustersPerCluster;

    /// <summary>Bytes in a subcluster.</summary>
    public int SubclusterSize => geometry.SubclusterSize;

    /// <summary>A zero flag can be set.</summary>
    public bool CanFlagZero => geometry.CanFlagZero;

    /// <summary>The host clusters that hold a compressed cluster's bytes, which lose a reference when it goes.</summary>
    public FreedRange CompressedRange(in L2Entry entry, bool punch)
    {
        var (offset, length) = entry.CompressedPlace(geometry);
        var first = geometry.ClusterOf(offset);
        return new FreedRange(new HostOffset(first << ClusterBits), geometry.ClusterOf(offset + (length - 1)) - first + 1, punch);
    }

    /// <summary>The end of the range whose entries are in the same slice as that of an offset.</summary>
    public long SliceEnd(GuestOffset guest)
    {
        var span = (long)(l2.SliceSize / entrySize) << ClusterBits;
        return (guest.Value & -span) + span;
    }

    /// <summary>The end of the range whose entries are in the same table.</summary>
    public long TableEnd(GuestOffset guest) => (geometry.L1Index(guest) + 1) << geometry.L1Shift;

    private static HostOffset NoHost => new(-1);

    /// <summary>Where the range ends that the tables can map: behind the disk, and behind the VM state.</summary>
    public long MappedEnd => (long)l1.Count << geometry.L1Shift;

    /// <summary>Where the VM state begins: behind the disk, with tables of its own.</summary>
    public long VmStateStart(long imageLength) => geometry.L1EntriesFor(imageLength) << geometry.L1Shift;

    /// <summary>There is a table for the range around an offset.</summary>
    public bool HasTable(GuestOffset guest) => TableFor(guest).HasTable;

    /// <summary>What the tables say at an offset, and how far.</summary>
    /// <param name="guest">The offset.</param>
    /// <param name="max">The most bytes wanted, at least 1.</param>
    /// <param name="run">The answer.</param>
    /// <returns>False where the table's slice is not in memory.</returns>
    public bool TryFind(GuestOffset guest, long max, out GuestRun run)
    {
        var table = TableFor(guest).Table;
        if (table == HostOffset.Zero)
        {
            run = new GuestRun(SubclusterKind.UnallocatedPlain, Math.Min(max, TableEnd(guest) - guest.Value), NoHost, false, 0);
            return true;
        }

        var position = geometry.L2Position(guest);
        if (!geometry.IsClusterAligned(table))
        {
            run = new GuestRun(SubclusterKind.Invalid, 1, NoHost, false, (ulong)table.Value);
            return true;
        }

        if (!l2.TryGet(table.Value + (position & -l2.SliceSize), out var slice))
        {
            run = default;
            return false;
        }

        var at = position & (l2.SliceSize - 1);
        if (HasSubclusters)
        {
            lock (gate)
            {
                run = FindExtended(slice.Bytes, at, guest, max);
            }
        }
        else
        {
            FindStandard(slice.Bytes, at, guest, max, out run);
        }

        return true;
    }

    /// <summary>
    /// As <see cref="TryFind(GuestOffset, long, out GuestRun)"/>, for one who goes along the disk.
    /// </summary>
    /// <param name="guest">The offset.</param>
    /// <param name="max">The most bytes wanted, at least 1.</param>
    /// <param name="hint">Where the last entry was found.</param>
    /// <param name="run">The answer.</param>
    /// <returns>False where the table's slice is not in memory.</returns>
    public bool TryFind(GuestOffset guest, long max, ref TableHint hint, out GuestRun run)
    {
        if (hint.Slice is { IsResident: true } known && guest.Value >= hint.Start && guest.Value < hint.End)
        {
            FindStandard(known.Bytes, PositionInSlice(guest), guest, max, out run);
            return true;
        }

        if (!TryFind(guest, max, out run))
        {
            return false;
        }

        if (!HasSubclusters && TableFor(guest).Table is var table && table != HostOffset.Zero && geometry.IsClusterAligned(table)
            && l2.TryGet(table.Value + (geometry.L2Position(guest) & -l2.SliceSize), out var slice))
        {
            hint = new TableHint(slice, guest.Value, SliceEnd(guest));
        }

        return true;
    }

    /// <summary>As <see cref="TryFind(GuestOffset, long, out GuestRun)"/>, and reads the slice if need be.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: the entry cannot be true.</exception>
    public async ValueTask<GuestRun> FindAsync(GuestOffset guest, long max)
    {
        GuestRun run;
        while (!TryFind(guest, max, out run))
        {
            await LoadAsync(guest).ConfigureAwait(false);
        }

        return run.Kind == SubclusterKind.Invalid ? throw await InvalidAsync(guest, run.Raw).ConfigureAwait(false) : run;
    }

    /// <summary>The failure for an entry that cannot be true.</summary>
    public ValueTask<BlockException> InvalidAsync(GuestOffset guest, ulong raw) =>
        headers.CorruptAsync($"the table entry 0x{raw:x} for the guest offset {guest} is not valid", guest.Value);

    /// <summary>Brings the slice with an offset's entry into memory. There is a table.</summary>
    public async ValueTask<CacheSlice> LoadAsync(GuestOffset guest)
    {
        var table = TableFor(guest).Table;
        if (table == HostOffset.Zero || !geometry.IsClusterAligned(table))
        {
            throw await InvalidAsync(guest, (ulong)table.Value).ConfigureAwait(false);
        }

        return await l2.GetAsync(table.Value + (geometry.L2Position(guest) & -l2.SliceSize)).ConfigureAwait(false);
    }

    /// <summary>The entries of clusters of one slice. The caller has locked the clusters, so that they stay as they are.</summary>
    public async ValueTask<L2Entry[]> EntriesAsync(GuestOffset guest, int count)
    {
        if (!HasTable(guest))
        {
            return new L2Entry[count];
        }

        var slice = await LoadAsync(guest).ConfigureAwait(false);
        var entries = new L2Entry[count];
        lock (gate)
        {
            var at = PositionInSlice(guest);
            for (var i = 0; i < count; i++)
            {
                entries[i] = L2Entry.Read(slice.Bytes.AsSpan(at + (i * entrySize)), HasSubclusters);
            }
        }

        return entries;
    }

    /// <summary>Changes the entries of clusters of one slice, and gives up what they named before, in one step.</summary>
    /// <param name="guest">The first cluster.</param>
    /// <param name="entries">The new entries. The table exists and has one reference.</param>
    /// <param name="freed">What loses a reference by it.</param>
    public async ValueTask ChangeAsync(GuestOffset guest, ReadOnlyMemory<L2Entry> entries, List<FreedRange>? freed)
    {
        var table = TableFor(guest).Table;
        if (guard.Find(table, ClusterSize, own: OverlapChecks.ActiveL2) is var hit && hit != OverlapChecks.None)
        {
            throw await headers.CorruptAsync($"the L2 table at {table} lies in {OverlapGuard.Describe(hit)}", table.Value).ConfigureAwait(false);
        }

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
                    span[i].Write(slice.Bytes.AsSpan(at + (i * entrySize)), HasSubclusters);
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

    /// <summary>Clusters that were taken and never linked go back, with the next round.</summary>
    public void Abandon(in FreedRange range)
    {
        lock (gate)
        {
            quarantine.Add(range);
        }
    }

    /// <summary>Makes sure that there is a table for an offset that has one reference only, so that it can be changed.</summary>
    public async ValueTask EnsureTableAsync(GuestOffset guest)
    {
        var index = geometry.L1Index(guest);
        if (TableFor(guest) is { IsCopied: true, HasTable: true })
        {
            return;
        }

        await tableLock.WaitAsync().ConfigureAwait(false);
        try
        {
            var entry = TableFor(guest);
            var old = entry.Table;
            if (entry is { IsCopied: true, HasTable: true })
            {
                return;
            }

            var run = await allocator.AllocateAsync(1).ConfigureAwait(false);
            try
            {
                await NewTable.WriteAsync(file, run.Offset, old, ClusterSize).ConfigureAwait(false);
            }
            catch
            {
                Abandon(new FreedRange(run.Offset, 1, false));
                throw;
            }

            lock (gate)
            {
                l2.Forget(run.Offset.Value, ClusterSize);
                l1.Set(index, L1Entry.For(run.Offset, copied: true).Raw);
                guard.Add(OverlapChecks.ActiveL2, run.Offset, ClusterSize);
                if (entry.HasTable)
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

    /// <summary>Gives up the tables that map nothing but what is beyond an offset. Nobody uses what is there.</summary>
    public void DropTablesBeyond(GuestOffset end)
    {
        lock (gate)
        {
            for (var index = (end.Value + (1L << geometry.L1Shift) - 1) >> geometry.L1Shift; index < l1.Count; index++)
            {
                var entry = new L1Entry(l1[index]);
                if (!entry.HasTable)
                {
                    continue;
                }

                l2.Forget(entry.Table.Value, ClusterSize);
                l1.Set(index, 0);
                guard.Remove(OverlapChecks.ActiveL2, entry.Table, ClusterSize);
                quarantine.Add(new FreedRange(entry.Table, 1, true));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private L1Entry TableFor(GuestOffset guest) => new(l1[geometry.L1Index(guest)]);

    private int PositionInSlice(GuestOffset guest) => geometry.L2Position(guest) & (l2.SliceSize - 1);

    // Who reads a map asks this for every run: the answer is written where it is wanted, field by field.
    private void FindStandard(byte[] bytes, int at, GuestOffset guest, long max, out GuestRun run)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(bytes.AsSpan(at)); // big-endian
        var stored = entries[0];
        var raw = BinaryPrimitives.ReverseEndianness(stored);
        var entry = new L2Entry(raw);
        var kind = entry.StandardKind(geometry);
        var within = geometry.InCluster(guest);
        var mapped = kind is SubclusterKind.Normal or SubclusterKind.ZeroAllocated;
        var host = mapped ? entry.Host + within : NoHost;
        var clusters = 1;
        var most = (int)Math.Min(entries.Length, (max >> ClusterBits) + 2);
        if (mapped)
        {
            var step = (ulong)ClusterSize;
            for (var expected = raw + step; clusters < most && BinaryPrimitives.ReverseEndianness(entries[clusters]) == expected; expected += step)
            {
                clusters++;
            }
        }
        else if (kind is not (SubclusterKind.Compressed or SubclusterKind.Invalid) && most > 1 && entries[1] == stored)
        {
            var end = entries[1..most].IndexOfAnyExcept(stored);
            clusters = end < 0 ? most : end + 1;
        }

        run = new GuestRun(kind, Math.Min(((long)clusters << ClusterBits) - within, max), host, entry.IsCopied, raw);
    }

    private GuestRun FindExtended(byte[] bytes, int at, GuestOffset guest, long max)
    {
        var entry = L2Entry.Read(bytes.AsSpan(at), hasSubclusters: true);
        var sub = geometry.SubclusterOf(guest);
        var kind = entry.KindAt(geometry, sub);
        var hasHost = entry.HasHost(geometry);
        var host = hasHost ? entry.Host + geometry.InCluster(guest) : NoHost;
        var copied = entry.IsCopied;
        var first = entry.Raw;
        if (kind == SubclusterKind.Compressed)
        {
            return new GuestRun(kind, Math.Min(ClusterSize - geometry.InCluster(guest), max), NoHost, false, first);
        }

        long length = SubclusterSize - (guest.Value & (SubclusterSize - 1));
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

                var next = L2Entry.Read(bytes.AsSpan(at), hasSubclusters: true);
                if (hasHost && (next.Host != entry.Host + ClusterSize || next.IsCopied != entry.IsCopied))
                {
                    break;
                }

                entry = next;
            }

            if (entry.KindAt(geometry, sub) != kind)
            {
                break;
            }

            length += SubclusterSize;
        }

        return new GuestRun(kind, Math.Min(length, max), host, copied, first);
    }
}
