namespace Byre.Nbd.Protocol;

/// <summary>What an export can do (section "Transmission flags").</summary>
[Flags]
public enum NbdTransmissionFlags : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Always set.</summary>
    HasFlags = 1 << 0,

    /// <summary>Changes are refused.</summary>
    ReadOnly = 1 << 1,

    /// <summary>FLUSH is known.</summary>
    SendFlush = 1 << 2,

    /// <summary>The flag FUA is known.</summary>
    SendFua = 1 << 3,

    /// <summary>The medium rotates.</summary>
    Rotational = 1 << 4,

    /// <summary>TRIM is known.</summary>
    SendTrim = 1 << 5,

    /// <summary>WRITE_ZEROES is known.</summary>
    SendWriteZeroes = 1 << 6,

    /// <summary>The flag DF is known.</summary>
    SendDontFragment = 1 << 7,

    /// <summary>A flush on one connection covers the completed writes of all.</summary>
    CanMultiConn = 1 << 8,

    /// <summary>RESIZE is known (an extension).</summary>
    SendResize = 1 << 9,

    /// <summary>CACHE is known.</summary>
    SendCache = 1 << 10,

    /// <summary>The flag FAST_ZERO is known.</summary>
    SendFastZero = 1 << 11,

    /// <summary>BLOCK_STATUS takes a payload that selects contexts.</summary>
    BlockStatusPayload = 1 << 12,
}
