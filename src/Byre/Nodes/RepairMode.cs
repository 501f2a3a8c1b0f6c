namespace Byre.Nodes;

/// <summary>What a check may repair.</summary>
public enum RepairMode
{
    /// <summary>Nothing: the image is only read.</summary>
    None,

    /// <summary>Space that is marked as used and that nothing uses is given back. No entry of a table changes.</summary>
    Leaks,

    /// <summary>Leaks, and whatever contradicts itself in the metadata.</summary>
    All,
}
