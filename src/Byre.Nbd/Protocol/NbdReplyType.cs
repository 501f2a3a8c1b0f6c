namespace Byre.Nbd.Protocol;

/// <summary>What a chunk holds (section "Structured reply types").</summary>
public enum NbdReplyType : ushort
{
    /// <summary>Nothing: it only ends the reply.</summary>
    None = 0,

    /// <summary>Offset and bytes.</summary>
    OffsetData = 1,

    /// <summary>Offset and length of zeroes.</summary>
    OffsetHole = 2,

    /// <summary>A context's number and descriptors of 32 bits.</summary>
    BlockStatus = 5,

    /// <summary>A context's number and descriptors of 64 bits (extended headers).</summary>
    BlockStatusExtended = 6,

    /// <summary>An error and a text.</summary>
    Error = (1 << 15) + 1,

    /// <summary>An error, a text, and where it happened.</summary>
    ErrorOffset = (1 << 15) + 2,
}
