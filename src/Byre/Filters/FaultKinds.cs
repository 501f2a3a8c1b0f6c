namespace Byre.Filters;

/// <summary>The kinds of requests that a <see cref="FaultRule"/> counts.</summary>
[Flags]
public enum FaultKinds
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

    /// <summary>Changes of the length.</summary>
    Resize = 32,

    /// <summary>Questions about extents.</summary>
    Extents = 64,

    /// <summary>All that change what is stored, and flushes.</summary>
    Changes = Write | WriteZeroes | Discard | Flush | Resize,

    /// <summary>Every request.</summary>
    All = Read | Changes | Extents,
}
