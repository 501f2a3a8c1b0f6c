namespace Byre.Nodes;

/// <summary>How much of a new range is allocated at once.</summary>
public enum Preallocation
{
    /// <summary>Nothing.</summary>
    Off,

    /// <summary>The format's metadata.</summary>
    Metadata,

    /// <summary>Metadata, and the space by fallocate.</summary>
    Falloc,

    /// <summary>Metadata, and every byte written.</summary>
    Full,
}
