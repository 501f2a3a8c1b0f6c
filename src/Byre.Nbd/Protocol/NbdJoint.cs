namespace Byre.Nbd.Protocol;

/// <summary>Flags of the context qemu:joint-allocation; byre:joint has them too, and bit 4 + i is set where the i-th bitmap is dirty.</summary>
[Flags]
public enum NbdJoint : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>No space is occupied.</summary>
    Hole = 1 << 0,

    /// <summary>Reads as zeroes.</summary>
    Zero = 1 << 1,

    /// <summary>The export's own layer stores it or says that it is zero.</summary>
    Local = 1 << 2,

    /// <summary>A deeper layer does.</summary>
    Backing = 1 << 3,
}
