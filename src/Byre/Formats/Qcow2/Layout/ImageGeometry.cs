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

    /// <summary>Guest bytes that an L2 table covers.</summary>
    internal long L2Coverage => 1L << L1Shift;

    /// <summary>Host bytes that a refcount block covers.</summary>
    internal long RefcountBlockCoverage => 1L << (RefcountBlockBits + ClusterBits);

    internal static int MaxL1Entries => Qcow2Limits.MaxL1Bytes / 8;

    /// <summary>The longest disk that the largest L1 table can map.</summary>
    internal long MaxSize
    {
        get
        {
            var max = (Int128)MaxL1Entries << L1Shift;
            return max > long.MaxValue ? long.MaxValue : (long)max;
        }
    }

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
    internal long L1Index(long guest) => guest >> L1Shift;

    /// <summary>The entry of its L2 table that maps a guest offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int L2Index(long guest) => (int)(guest >> ClusterBits) & (L2Entries - 1);

    /// <summary>The number of the cluster that an offset lies in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long ClusterOf(long offset) => offset >> ClusterBits;

    /// <summary>Where the cluster begins that an offset lies in.</summary>
    internal long ClusterStart(long offset) => offset & ~(ClusterSize - 1L);

    /// <summary>The offset's distance from the beginning of its cluster.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int InCluster(long offset) => (int)offset & (ClusterSize - 1);

    /// <summary>The offset's subcluster within its cluster.</summary>
    internal int SubclusterOf(long offset) => InCluster(offset) >> SubclusterBits;

    internal bool IsClusterAligned(long offset) => (offset & (ClusterSize - 1L)) == 0;

    /// <summary>The refcount table entry of a host offset.</summary>
    internal long RefcountTableIndex(long host) => host >> (ClusterBits + RefcountBlockBits);

    /// <summary>The refcount of a host offset within its block.</summary>
    internal int RefcountIndex(long host) => (int)(host >> ClusterBits) & (RefcountBlockEntries - 1);

    /// <summary>An L2 entry of this image.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal L2Entry Entry(ulong raw, ulong bitmap = 0) => new(raw, bitmap, HasSubclusters, HasDataFile);
}
