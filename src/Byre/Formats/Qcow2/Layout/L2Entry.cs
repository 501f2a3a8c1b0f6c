namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// An L2 table entry, with its subcluster bitmap where the image has extended entries (qcow2 specification, "L2 table
/// entry" and "Extended L2 Entries"). Make one with <see cref="ImageGeometry.Entry"/>.
/// </summary>
/// <param name="raw">As stored, in host byte order.</param>
/// <param name="bitmap">The subcluster bitmap: low half data, high half zero. 0 without subclusters.</param>
/// <param name="hasSubclusters">The image has extended entries.</param>
/// <param name="hasDataFile">Host offsets are in an external data file, where 0 is an offset like others.</param>
internal readonly struct L2Entry(ulong raw, ulong bitmap = 0, bool hasSubclusters = false, bool hasDataFile = false)
{
    internal const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    internal const ulong CopiedBit = 1UL << 63;
    internal const ulong CompressedBit = 1UL << 62;
    internal const ulong ZeroBit = 1;

    /// <summary>The bitmap's bits that say "data in the host cluster".</summary>
    internal const ulong AllData = 0xffff_ffff;

    /// <summary>The bitmap's bits that say "zeroes".</summary>
    internal const ulong AllZeroes = 0xffff_ffff_0000_0000;

    internal ulong Raw => raw;

    internal ulong Bitmap => bitmap;

    internal bool IsCompressed => (raw & CompressedBit) != 0;

    /// <summary>The host cluster's refcount is exactly one (never said of compressed ones).</summary>
    internal bool IsCopied => (raw & CopiedBit) != 0;

    /// <summary>Where the host cluster is; meaningless for compressed ones; 0 where there is none.</summary>
    internal long HostOffset => (long)(raw & OffsetMask);

    /// <summary>There is a host cluster that is not compressed.</summary>
    internal bool HasHostCluster => !IsCompressed && ((raw & OffsetMask) != 0 || (hasDataFile && IsCopied));

    internal L2Kind Kind
    {
        get
        {
            if (IsCompressed)
            {
                return L2Kind.Compressed;
            }

            if (!hasSubclusters && (raw & ZeroBit) != 0)
            {
                return HasHostCluster ? L2Kind.ZeroAllocated : L2Kind.ZeroPlain;
            }

            return HasHostCluster ? L2Kind.Normal : L2Kind.Unallocated;
        }
    }

    /// <summary>A cluster of data; with subclusters, those of <paramref name="bitmap"/>.</summary>
    internal static L2Entry Normal(in ImageGeometry geometry, long host, bool copied, ulong bitmap = AllData) =>
        geometry.Entry((ulong)host | (copied ? CopiedBit : 0), geometry.HasSubclusters ? bitmap : 0);

    /// <summary>A cluster of zeroes without a host cluster.</summary>
    internal static L2Entry ZeroPlain(in ImageGeometry geometry) =>
        geometry.HasSubclusters ? geometry.Entry(0, AllZeroes) : geometry.Entry(ZeroBit);

    /// <summary>A cluster of zeroes that keeps its host cluster.</summary>
    internal static L2Entry ZeroAllocated(in ImageGeometry geometry, long host, bool copied)
    {
        var raw = (ulong)host | (copied ? CopiedBit : 0);
        return geometry.HasSubclusters ? geometry.Entry(raw, AllZeroes) : geometry.Entry(raw | ZeroBit);
    }

    /// <summary>A compressed cluster.</summary>
    /// <param name="geometry">The image's sizes.</param>
    /// <param name="host">Its first byte in the file.</param>
    /// <param name="bytes">Its length, at least 1 and at most a cluster; the entry counts the sectors that it touches.</param>
    internal static L2Entry Compressed(in ImageGeometry geometry, long host, int bytes)
    {
        var sectors = ((host + bytes - 1) >> 9) - (host >> 9);
        return geometry.Entry(CompressedBit | (ulong)host | ((ulong)sectors << CompressedShift(geometry)));
    }

    /// <summary>The highest offset that a compressed cluster of this image can begin at.</summary>
    internal static long MaxCompressedOffset(in ImageGeometry geometry) =>
        (long)Math.Min((1UL << CompressedShift(geometry)) - 1, OffsetMask | 0x1ff);

    /// <summary>A compressed cluster's first byte in the file.</summary>
    internal long CompressedOffset(in ImageGeometry geometry) => (long)(raw & ((1UL << CompressedShift(geometry)) - 1));

    /// <summary>
    /// How many bytes from <see cref="CompressedOffset"/> belong to a compressed cluster: up to the end of its last sector.
    /// The file may end before.
    /// </summary>
    internal int CompressedBytes(in ImageGeometry geometry)
    {
        var sectors = (int)(raw >> CompressedShift(geometry) & ((1UL << (geometry.ClusterBits - 8)) - 1)) + 1;
        return (sectors << 9) - (int)(CompressedOffset(geometry) & 511);
    }

    /// <summary>Bits are set that the specification reserves.</summary>
    internal bool HasReservedBits(in ImageGeometry geometry)
    {
        if (IsCompressed)
        {
            // The offset's bits from 56 on are reserved where the entry has room for them.
            var shift = CompressedShift(geometry);
            return IsCopied || (shift > 56 && (raw & ((1UL << shift) - 1) & ~0x00ff_ffff_ffff_ffffUL) != 0);
        }

        var used = OffsetMask | CopiedBit | (geometry.HasSubclusters || geometry.Version < 3 ? 0 : ZeroBit);
        return (raw & ~used) != 0;
    }

    /// <summary>What subcluster <paramref name="index"/> is; without subclusters, what the cluster is.</summary>
    internal SubclusterKind SubclusterKindAt(in ImageGeometry geometry, int index)
    {
        switch (Kind)
        {
            case L2Kind.Compressed:
                return SubclusterKind.Compressed;
            case L2Kind.ZeroPlain:
                return SubclusterKind.ZeroPlain;
            case L2Kind.ZeroAllocated:
                return SubclusterKind.ZeroAllocated;
            case L2Kind.Normal when !geometry.HasSubclusters:
                return SubclusterKind.Normal;
            case L2Kind.Normal:
                if ((bitmap >> 32 & bitmap) != 0)
                {
                    return SubclusterKind.Invalid;
                }

                return (bitmap >> index & 1) != 0 ? SubclusterKind.Normal
                    : (bitmap >> (32 + index) & 1) != 0 ? SubclusterKind.ZeroAllocated
                    : SubclusterKind.UnallocatedAllocated;
            default:
                if (!geometry.HasSubclusters)
                {
                    return SubclusterKind.UnallocatedPlain;
                }

                return (bitmap & AllData) != 0 ? SubclusterKind.Invalid
                    : (bitmap >> (32 + index) & 1) != 0 ? SubclusterKind.ZeroPlain
                    : SubclusterKind.UnallocatedPlain;
        }
    }

    private static int CompressedShift(in ImageGeometry geometry) => 62 - (geometry.ClusterBits - 8);
}
