namespace Byre.Formats.Qcow2.Layout;

/// <summary>A refcount table entry (qcow2 specification, "Refcount table entry").</summary>
/// <param name="Raw">As stored, in host byte order.</param>
internal readonly record struct RefcountTableEntry(ulong Raw)
{
    internal const ulong ReservedMask = 0x1ff;

    /// <summary>Where the refcount block is; 0 where there is none, and all its counts are 0.</summary>
    internal HostOffset Block => new((long)(Raw & ~ReservedMask));

    /// <summary>Bits are set that the specification reserves.</summary>
    internal bool HasReservedBits => (Raw & ReservedMask) != 0;

    internal static RefcountTableEntry For(HostOffset block) => new((ulong)block.Value);
}
