namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// What an L2 entry says of its cluster. With subclusters it is Unallocated, Normal or Compressed: only whether there is a
/// host cluster; the bitmap tells the rest.
/// </summary>
internal enum L2Kind
{
    /// <summary>No host cluster: the backing file's content.</summary>
    Unallocated,

    /// <summary>Zeroes, no host cluster.</summary>
    ZeroPlain,

    /// <summary>Zeroes, with a host cluster kept for later.</summary>
    ZeroAllocated,

    /// <summary>Data in a host cluster.</summary>
    Normal,

    /// <summary>Compressed data.</summary>
    Compressed,
}
