namespace Byre.Nbd.Protocol;

/// <summary>The names of metadata contexts.</summary>
public static class NbdContextNames
{
    /// <summary>Holes and zeroes; flags <see cref="NbdAllocation"/>.</summary>
    public const string BaseAllocation = "base:allocation";

    /// <summary>The layer that an extent comes from: 1 for the export's own, 2 for its backing, 0 for none.</summary>
    public const string AllocationDepth = "qemu:allocation-depth";

    /// <summary>What stands before a bitmap's name; its flags are 1 where dirty.</summary>
    public const string DirtyBitmapPrefix = "qemu:dirty-bitmap:";

    /// <summary>Hole, zero, local and backing in one; flags <see cref="NbdJoint"/>.</summary>
    public const string JointAllocation = "qemu:joint-allocation";

    /// <summary>As <see cref="JointAllocation"/>, with up to 27 dirty bitmaps from bit 4 on.</summary>
    public const string Joint = "byre:joint";

    /// <summary>The most bitmaps in <see cref="Joint"/>.</summary>
    public const int JointBitmaps = 27;

    /// <summary>The bit of the first bitmap in <see cref="Joint"/>.</summary>
    public const int JointFirstBitmap = 4;
}
