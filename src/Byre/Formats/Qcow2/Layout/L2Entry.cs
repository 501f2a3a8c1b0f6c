using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// An L2 table entry, with its subcluster bitmap where the image has extended entries (qcow2 specification, "L2 table
/// entry" and "Extended L2 Entries"). What it means depends on the image: the methods that need it take its geometry.
/// </summary>
/// <param name="Raw">As stored, in host byte order.</param>
/// <param name="Bitmap">The subcluster bitmap: low half data, high half zero. 0 without subclusters.</param>
internal readonly record struct L2Entry(ulong Raw, ulong Bitmap = 0)
{
    internal const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    internal const ulong CopiedBit = 1UL << 63;
    internal const ulong CompressedBit = 1UL << 62;
    internal const ulong ZeroBit = 1;

    /// <summary>Bits that entries of no version and kind use, but for compressed ones.</summary>
    internal const ulong ReservedMask = ~(OffsetMask | CopiedBit | CompressedBit | ZeroBit);

    /// <summary>The bitmap's bits that say "data in the host cluster".</summary>
    internal const ulong AllData = 0xffff_ffff;

    /// <summary>The bitmap's bits that say "zeroes".</summary>
    internal const ulong AllZeroes = 0xffff_ffff_0000_0000;

    internal bool IsCompressed => (Raw & CompressedBit) != 0;

    /// <summary>The host cluster's refcount is exactly one (never said of compressed ones).</summary>
    internal bool IsCopied => (Raw & CopiedBit) != 0;

    /// <summary>Where the host cluster is; meaningless for compressed ones; 0 where there is none.</summary>
    internal HostOffset Host => new((long)(Raw & OffsetMask));

    /// <summary>The low half of the bitmap: subclusters of data.</summary>
    internal uint DataBits => (uint)Bitmap;

    /// <summary>A subcluster is data and zeroes at once, which cannot be true.</summary>
    internal bool ContradictsItself => ((uint)(Bitmap >> 32) & (uint)Bitmap) != 0;

    /// <summary>A cluster of data; with subclusters, those of <paramref name="bitmap"/>.</summary>
    internal static L2Entry Normal(in ImageGeometry geometry, HostOffset host, bool copied, ulong bitmap = AllData) =>
        new((ulong)host.Value | (copied ? CopiedBit : 0), geometry.HasSubclusters ? bitmap : 0);

    /// <summary>A cluster of zeroes without a host cluster.</summary>
    internal static L2Entry ZeroPlain(in ImageGeometry geometry) =>
        geometry.HasSubclusters ? new(0, AllZeroes) : new(ZeroBit);

    /// <summary>A cluster of zeroes that keeps its host cluster.</summary>
    internal static L2Entry ZeroAllocated(in ImageGeometry geometry, HostOffset host, bool copied) =>
        Normal(geometry, host, copied, 0).Zeroed(geometry);

    /// <summary>A compressed cluster.</summary>
    /// <param name="geometry">The image's sizes.</param>
    /// <param name="host">Its first byte in the file.</param>
    /// <param name="bytes">Its length, at least 1 and at most a cluster; the entry counts the sectors that it touches.</param>
    internal static L2Entry Compressed(in ImageGeometry geometry, HostOffset host, int bytes)
    {
        var sectors = ((host.Value + bytes - 1) >> 9) - (host.Value >> 9);
        return new(CompressedBit | (ulong)host.Value | ((ulong)sectors << geometry.CompressedShift));
    }

    /// <summary>The highest offset that a compressed cluster of this image can begin at.</summary>
    internal static HostOffset MaxCompressedOffset(in ImageGeometry geometry) =>
        new((long)Math.Min((1UL << geometry.CompressedShift) - 1, OffsetMask | 0x1ff));

    /// <summary>Reads an entry of an image from its bytes in a table.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static L2Entry Read(ReadOnlySpan<byte> bytes, bool hasSubclusters) => new(
        BinaryPrimitives.ReadUInt64BigEndian(bytes),
        hasSubclusters ? BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]) : 0);

    /// <summary>Writes the entry as it is in a table.</summary>
    internal void Write(Span<byte> bytes, bool hasSubclusters)
    {
        BinaryPrimitives.WriteUInt64BigEndian(bytes, Raw);
        if (hasSubclusters)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], Bitmap);
        }
    }

    /// <summary>
    /// There is a host cluster that is not compressed. In an external data file the offset 0 is one like others: the COPIED
    /// flag tells it from none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool HasHost(in ImageGeometry geometry) =>
        (Raw & CompressedBit) == 0 && ((Raw & OffsetMask) != 0 || (geometry.HasDataFile && (Raw & CopiedBit) != 0));

    /// <summary>The same cluster, all zeroes; it keeps its host cluster.</summary>
    internal L2Entry Zeroed(in ImageGeometry geometry) =>
        geometry.HasSubclusters ? new(Raw, AllZeroes) : new(Raw | ZeroBit);

    /// <summary>
    /// Where a compressed cluster's bytes are: from its first byte up to the end of its last sector. The file may end before.
    /// </summary>
    internal (HostOffset Offset, int Bytes) CompressedPlace(in ImageGeometry geometry)
    {
        var shift = geometry.CompressedShift;
        var offset = (long)(Raw & ((1UL << shift) - 1));
        var sectors = (int)(Raw >> shift & ((1UL << (geometry.ClusterBits - 8)) - 1)) + 1;
        return (new(offset), (sectors << 9) - (int)(offset & 511));
    }

    /// <summary>Bits are set that the specification reserves.</summary>
    internal bool HasReservedBits(in ImageGeometry geometry)
    {
        if (IsCompressed)
        {
            // The offset's bits from 56 on are reserved where the entry has room for them.
            var shift = geometry.CompressedShift;
            return IsCopied || (shift > 56 && (Raw & ((1UL << shift) - 1) & ~0x00ff_ffff_ffff_ffffUL) != 0);
        }

        return (Raw & (ReservedMask | (geometry.HasSubclusters || geometry.Version < 3 ? ZeroBit : 0))) != 0;
    }

    /// <summary>What the cluster is, in an image without subclusters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal SubclusterKind StandardKind(in ImageGeometry geometry)
    {
        if ((Raw & CompressedBit) != 0)
        {
            return SubclusterKind.Compressed;
        }

        var hasHost = HasHost(geometry);
        if (hasHost && !geometry.IsClusterAligned(Host))
        {
            return SubclusterKind.Invalid;
        }

        if ((Raw & ZeroBit) != 0)
        {
            return geometry.Version < 3 ? SubclusterKind.Invalid : hasHost ? SubclusterKind.ZeroAllocated : SubclusterKind.ZeroPlain;
        }

        return hasHost ? SubclusterKind.Normal : SubclusterKind.UnallocatedPlain;
    }

    /// <summary>What subcluster <paramref name="index"/> is; without subclusters, what the cluster is.</summary>
    internal SubclusterKind KindAt(in ImageGeometry geometry, int index)
    {
        if (!geometry.HasSubclusters)
        {
            return StandardKind(geometry);
        }

        if ((Raw & CompressedBit) != 0)
        {
            return SubclusterKind.Compressed;
        }

        var hasHost = HasHost(geometry);
        if ((hasHost && !geometry.IsClusterAligned(Host)) || ContradictsItself || (!hasHost && DataBits != 0))
        {
            return SubclusterKind.Invalid;
        }

        return (Bitmap >> index & 1) != 0 ? SubclusterKind.Normal
            : (Bitmap >> (index + 32) & 1) != 0 ? hasHost ? SubclusterKind.ZeroAllocated : SubclusterKind.ZeroPlain
            : hasHost ? SubclusterKind.UnallocatedAllocated : SubclusterKind.UnallocatedPlain;
    }
}
