namespace Byre.Storage;

/// <summary>What a path of this machine leads to, as far as copying to and from it goes.</summary>
public enum HostPathKind
{
    /// <summary>Nothing, or nothing that may be looked at.</summary>
    Missing,

    /// <summary>A regular file.</summary>
    File,

    /// <summary>A block device.</summary>
    Device,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A pipe, a terminal, or another thing that is read or written from front to back.</summary>
    Stream,
}
