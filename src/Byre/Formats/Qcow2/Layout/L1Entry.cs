namespace Byre.Formats.Qcow2.Layout;

/// <summary>An L1 table entry (qcow2 specification, "L1 table entry").</summary>
/// <param name="Raw">As stored, in host byte order.</param>
internal readonly record struct L1Entry(ulong Raw)
{
    internal const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    internal const ulong CopiedBit = 1UL << 63;

    /// <summary>Where the L2 table is; 0 where there is none.</summary>
    internal HostOffset Table => new((long)(Raw & OffsetMask));

    /// <summary>There is an L2 table.</summary>
    internal bool HasTable => (Raw & OffsetMask) != 0;

    /// <summary>The L2 table's refcount is exactly one.</summary>
    internal bool IsCopied => (Raw & CopiedBit) != 0;

    /// <summary>Bits are set that the specification reserves.</summary>
    internal bool HasReservedBits => (Raw & ~(OffsetMask | CopiedBit)) != 0;

    internal static L1Entry For(HostOffset table, bool copied) => new((ulong)table.Value | (copied ? CopiedBit : 0));
}
