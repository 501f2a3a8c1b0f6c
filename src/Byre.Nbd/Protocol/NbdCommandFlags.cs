namespace Byre.Nbd.Protocol;

/// <summary>How a request is to be done (section "Command flags").</summary>
[Flags]
public enum NbdCommandFlags : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The change is on stable storage before the reply.</summary>
    Fua = 1 << 0,

    /// <summary>WRITE_ZEROES: no hole is to be made.</summary>
    NoHole = 1 << 1,

    /// <summary>READ: one chunk of content.</summary>
    DontFragment = 1 << 2,

    /// <summary>BLOCK_STATUS: one extent of each context, none beyond the range.</summary>
    RequestOne = 1 << 3,

    /// <summary>WRITE_ZEROES: fail where it is no faster than writing.</summary>
    FastZero = 1 << 4,

    /// <summary>The length is that of a payload (extended headers).</summary>
    PayloadLength = 1 << 5,
}
