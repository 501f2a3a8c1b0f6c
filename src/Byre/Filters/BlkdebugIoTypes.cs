namespace Byre.Filters;

/// <summary>The kinds of requests that the blkdebug driver can fail (BlkdebugIOType in QEMU's QAPI schema).</summary>
[Flags]
public enum BlkdebugIoTypes
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Reads.</summary>
    Read = 1,

    /// <summary>Writes of data.</summary>
    Write = 2,

    /// <summary>Zeroes that the child makes by other means than writing data.</summary>
    WriteZeroes = 4,

    /// <summary>Discards.</summary>
    Discard = 8,

    /// <summary>Flushes.</summary>
    Flush = 16,

    /// <summary>Questions about extents. Only a rule that names it fails these.</summary>
    BlockStatus = 32,

    /// <summary>What a rule fails that names no kind.</summary>
    Default = Read | Write | WriteZeroes | Discard | Flush,
}
