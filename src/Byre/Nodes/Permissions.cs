namespace Byre.Nodes;

/// <summary>What the user of a node does with it, or lets others do. The values are QEMU's (they are lock byte numbers).</summary>
[Flags]
public enum Permissions
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Reads, and expects what it reads to make sense as a whole.</summary>
    ConsistentRead = 1,

    /// <summary>Writes.</summary>
    Write = 2,

    /// <summary>Writes, but never changes what a reader sees.</summary>
    WriteUnchanged = 4,

    /// <summary>Changes the length.</summary>
    Resize = 8,

    /// <summary>All of them.</summary>
    All = ConsistentRead | Write | WriteUnchanged | Resize,
}
