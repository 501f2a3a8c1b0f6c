namespace Byre.Nbd.Server.Contexts;

/// <summary>What a metadata context tells.</summary>
internal enum MetaContextKind
{
    /// <summary>base:allocation: holes and zeroes.</summary>
    Allocation,

    /// <summary>qemu:allocation-depth: the layer that decides.</summary>
    Depth,

    /// <summary>qemu:dirty-bitmap:NAME: what was written since a bitmap was cleared.</summary>
    DirtyBitmap,

    /// <summary>qemu:joint-allocation: hole, zero, local and backing in one.</summary>
    JointAllocation,

    /// <summary>byre:joint: the same and the dirty bitmaps.</summary>
    Joint,
}
