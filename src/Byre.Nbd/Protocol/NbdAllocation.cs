namespace Byre.Nbd.Protocol;

/// <summary>Flags of the context base:allocation (section "base:allocation metadata context").</summary>
[Flags]
public enum NbdAllocation : uint
{
    /// <summary>Data, or nothing is known.</summary>
    None = 0,

    /// <summary>No space is occupied.</summary>
    Hole = 1 << 0,

    /// <summary>Reads as zeroes.</summary>
    Zero = 1 << 1,
}
