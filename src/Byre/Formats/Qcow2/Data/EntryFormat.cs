using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;

namespace Byre.Formats.Qcow2.Data;

/// <summary>What the entries of an image's L2 tables mean.</summary>
internal class EntryFormat
{
    /// <summary>The cluster has one reference.</summary>
    public const ulong Copied = 1UL << 63;

    /// <summary>The cluster is compressed.</summary>
    public const ulong CompressedBit = 1UL << 62;

    /// <summary>The cluster reads as zeroes (standard entries).</summary>
    public const ulong ZeroBit = 1;

    /// <summary>Every subcluster reads as zeroes.</summary>
    public const ulong AllZeroes = 0xFFFFFFFF00000000;

    /// <summary>The bits of a host offset.</summary>
    protected const ulong OffsetMask = 0x00FFFFFFFFFFFE00;

    private readonly bool hasDataFile;

    public EntryFormat(Qcow2Header header, bool hasDataFile)
    {
        this.hasDataFile = hasDataFile;
        ClusterBits = header.ClusterBits;
        ClusterSize = 1 << ClusterBits;
        HasSubclusters = header.HasSubclusters;
        CanFlagZero = header.Version >= 3;
        Subclusters = HasSubclusters ? 32 : 1;
        SubclusterSize = ClusterSize / Subclusters;
    }

    /// <summary>The binary logarithm of the cluster size.</summary>
    public int ClusterBits { get; }

    /// <summary>Bytes in a cluster.</summary>
    public int ClusterSize { get; }

    /// <summary>Entries are extended.</summary>
    public bool HasSubclusters { get; }

    /// <summary>Subclusters in a cluster: 32, or 1.</summary>
    public int Subclusters { get; }

    /// <summary>Bytes in a subcluster.</summary>
    public int SubclusterSize { get; }

    /// <summary>A zero flag can be set.</summary>
    public bool CanFlagZero { get; }

    /// <summary>The entry names a host cluster.</summary>
    public bool HasHost(in ClusterEntry entry) =>
        (entry.Raw & CompressedBit) == 0 && ((entry.Raw & OffsetMask) != 0 || (hasDataFile && (entry.Raw & Copied) != 0));

    /// <summary>The host cluster that the entry names.</summary>
    public static long HostOf(in ClusterEntry entry) => (long)(entry.Raw & OffsetMask);

    /// <summary>What a subcluster is.</summary>
    public SubclusterKind KindOf(in ClusterEntry entry, int subcluster)
    {
        if ((entry.Raw & CompressedBit) != 0)
        {
            return SubclusterKind.Compressed;
        }

        var hasHost = HasHost(entry);
        if (hasHost && (entry.Raw & OffsetMask & (ulong)(ClusterSize - 1)) != 0)
        {
            return SubclusterKind.Invalid;
        }

        if (!HasSubclusters)
        {
            if ((entry.Raw & ZeroBit) != 0)
            {
                return !CanFlagZero ? SubclusterKind.Invalid : hasHost ? SubclusterKind.ZeroAllocated : SubclusterKind.ZeroPlain;
            }

            return hasHost ? SubclusterKind.Normal : SubclusterKind.UnallocatedPlain;
        }

        var isData = (entry.Bitmap >> subcluster & 1) != 0;
        if ((entry.Bitmap >> (subcluster + 32) & 1) != 0)
        {
            return isData ? SubclusterKind.Invalid : hasHost ? SubclusterKind.ZeroAllocated : SubclusterKind.ZeroPlain;
        }

        return isData
            ? hasHost ? SubclusterKind.Normal : SubclusterKind.Invalid
            : hasHost ? SubclusterKind.UnallocatedAllocated : SubclusterKind.UnallocatedPlain;
    }

    /// <summary>The host clusters that hold a compressed cluster's bytes, which lose a reference when it goes.</summary>
    public FreedRange CompressedRange(ulong raw, bool punch)
    {
        var (offset, length) = CompressedAt(raw);
        var first = offset >> ClusterBits;
        var last = (offset + length - 1) >> ClusterBits;
        return new FreedRange(first << ClusterBits, last - first + 1, punch);
    }

    /// <summary>Where a compressed cluster's bytes are: whole sectors from its first byte on.</summary>
    public (long Offset, int Length) CompressedAt(ulong raw)
    {
        var shift = 62 - (ClusterBits - 8);
        var offset = (long)(raw & ((1UL << shift) - 1));
        var sectors = (int)(raw >> shift & ((1UL << (ClusterBits - 8)) - 1)) + 1;
        return (offset, (sectors * 512) - (int)(offset & 511));
    }

    /// <summary>The entry of a compressed cluster.</summary>
    public ClusterEntry CompressedEntry(long offset, int length)
    {
        var shift = 62 - (ClusterBits - 8);
        var more = (ulong)(((offset + length - 1) >> 9) - (offset >> 9));
        return new ClusterEntry(CompressedBit | (ulong)offset | (more << shift), 0);
    }
}
