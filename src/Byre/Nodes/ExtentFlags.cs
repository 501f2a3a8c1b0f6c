namespace Byre.Nodes;

/// <summary>More about an extent.</summary>
[Flags]
public enum ExtentFlags
{
    /// <summary>Nothing more.</summary>
    None = 0,

    /// <summary>No space is occupied on the host for the range.</summary>
    Hole = 1,

    /// <summary>A host cluster is mapped, but its content is zero or absent: the mapping is kept for a later write.</summary>
    Reserved = 2,

    /// <summary>The bytes are stored compressed; there is no host offset to copy from.</summary>
    Compressed = 4,

    /// <summary>The bytes are stored encrypted; what lies at the host offset is not what a reader sees.</summary>
    Encrypted = 8,
}
