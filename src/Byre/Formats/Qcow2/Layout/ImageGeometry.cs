using System.Runtime.CompilerServices;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>The sizes that follow from a header, and the arithmetic on guest and host offsets.</summary>
internal readonly record struct ImageGeometry
{
    internal int Version { get; private init; }

    internal int ClusterBits { get; private init; }

    /// <summary>log2 of the entries in an L2 table.</summary>
    internal int L2Bits { get; private init; }

    internal int RefcountOrder { get; private init; }

    internal bool HasSubclusters { get; private init; }

    /// <summary>Guest clusters are in an external data file.</summary>
    internal bool HasDataFile { get; private init; }

    internal int ClusterSize => 1 << ClusterBits;

    internal int L2Entries => 1 << L2Bits;

    internal int L2EntrySize => HasSubclusters ? 16 : 8;

    internal int SubclusterBits => HasSubclusters ? ClusterBits - 5 : ClusterBits;

    internal int SubclusterSize => 1 << SubclusterBits;

    /// <summary>32, or 1 without subclusters.</summary>
    internal int SubclustersPerCluster => HasSubclusters ? 32 : 1;

    internal int RefcountBits => 1 << RefcountOrder;

    /// <summary>The largest refcount that fits.</summary>
    internal ulong MaxRefcount => RefcountWidth.Max(RefcountOrder);

    /// <summary>log2 of the refcounts in a refcount block.</summary>
    internal int RefcountBlockBits => ClusterBits + 3 - RefcountOrder;

    internal int RefcountBlockEntries => 1 << RefcountBlockBits;

    /// <summary>log2 of the guest bytes that an L1 entry covers.</summary>
    internal int L1Shift => ClusterBits + L2Bits;

    /// <summary>Where a compressed entry's sector count begins, in bits.</summary>
    internal int CompressedShift => 62 - (ClusterBits - 8);

    /// <summary>Clusters can be flagged as zeroes.</summary>
    internal bool CanFlagZero => Version >= 3;

    /// <summary>Guest bytes that an L2 table covers.</summary>
    internal long L2Coverage => 1L << L1Shift;

    internal static int MaxL1Entries => Qcow2Limits.MaxL1Bytes / 8;

    /// <summary>The longest disk that the largest L1 table can map.</summary>
    internal long MaxSize => MaxL1Entries > long.MaxValue >> L1Shift ? long.MaxValue : (long)MaxL1Entries << L1Shift;

    internal static ImageGeometry From(Qcow2Header header) => From(
        header.ClusterBits, header.HasSubclusters, header.RefcountOrder, header.Version, header.HasDataFile);

    internal static ImageGeometry From(
        int clusterBits, bool hasSubclusters, int refcountOrder = 4, int version = 3, bool hasDataFile = false) => new()
    {
        Version = version,
        ClusterBits = clusterBits,
        L2Bits = clusterBits - (hasSubclusters ? 4 : 3),
        RefcountOrder = refcountOrder,
        HasSubclusters = hasSubclusters,
        HasDataFile = hasDataFile,
    };

    /// <summary>L1 entries that map a disk of <paramref name="size"/> bytes.</summary>
    internal long L1EntriesFor(long size) => (size >> L1Shift) + ((size & (L2Coverage - 1)) != 0 ? 1 : 0);

    /// <summary>Clusters that hold <paramref name="bytes"/>, rounded up.</summary>
    internal long ClustersFor(long bytes) => (bytes >> ClusterBits) + ((bytes & (ClusterSize - 1)) != 0 ? 1 : 0);

    /// <summary>The L1 entry that maps a guest offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long L1Index(GuestOffset guest) => guest.Value >> L1Shift;

    /// <summary>The entry of its L2 table that maps a guest offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int L2Index(GuestOffset guest) => (int)(guest.Value >> ClusterBits) & (L2Entries - 1);

    /// <summary>Where the entry for a guest offset is in its L2 table, in bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int L2Position(GuestOffset guest) => L2Index(guest) << (HasSubclusters ? 4 : 3);

    /// <summary>A guest offset's distance from the beginning of its cluster.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int InCluster(GuestOffset guest) => (int)guest.Value & (ClusterSize - 1);

    /// <summary>A guest offset's subcluster within its cluster.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int SubclusterOf(GuestOffset guest) => InCluster(guest) >> SubclusterBits;

    /// <summary>A host offset is the beginning of a cluster.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsClusterAligned(HostOffset host) => (host.Value & (ClusterSize - 1L)) == 0;

    /// <summary>The number of the host cluster that an offset lies in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long ClusterOf(HostOffset host) => host.Value >> ClusterBits;
}
