namespace Byre.Formats.Qcow2.Layout;

/// <summary>An L1 table entry (qcow2 specification, "L1 table entry").</summary>
/// <param name="raw">As stored, in host byte order.</param>
internal readonly struct L1Entry(ulong raw)
{
    internal const ulong OffsetMask = 0x00ff_ffff_ffff_fe00;
    internal const ulong CopiedBit = 1UL << 63;

    internal ulong Raw => raw;

    /// <summary>Where the L2 table is; 0 where there is none.</summary>
    internal long TableOffset => (long)(raw & OffsetMask);

    /// <summary>The L2 table's refcount is exactly one.</summary>
    internal bool IsCopied => (raw & CopiedBit) != 0;

    internal bool HasReservedBits => (raw & ~(OffsetMask | CopiedBit)) != 0;

    internal static L1Entry For(long offset, bool copied) => new((ulong)offset | (copied ? CopiedBit : 0));
}
