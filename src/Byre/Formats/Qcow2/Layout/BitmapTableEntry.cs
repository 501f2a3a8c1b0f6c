namespace Byre.Formats.Qcow2.Layout;

/// <summary>An entry of a bitmap's table (qcow2 specification, "Bitmap table").</summary>
/// <param name="Raw">As stored, in host byte order.</param>
internal readonly record struct BitmapTableEntry(ulong Raw)
{
    internal const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    internal const ulong AllOnesBit = 1;

    /// <summary>Where the cluster with the bits is; 0 where they are all alike.</summary>
    internal HostOffset Cluster => new((long)(Raw & OffsetMask));

    /// <summary>Without a cluster: all bits are ones, not zeroes.</summary>
    internal bool IsAllOnes => (Raw & AllOnesBit) != 0;

    /// <summary>Bits are set that the specification reserves, the flag beside a cluster among them.</summary>
    internal bool HasReservedBits =>
        (Raw & ~(OffsetMask | AllOnesBit)) != 0 || ((Raw & OffsetMask) != 0 && IsAllOnes);
}
