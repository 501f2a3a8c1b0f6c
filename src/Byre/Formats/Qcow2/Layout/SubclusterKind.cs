namespace Byre.Formats.Qcow2.Layout;

/// <summary>What a subcluster is (qcow2 specification, "Extended L2 Entries"); without subclusters, what the cluster is.</summary>
internal enum SubclusterKind
{
    /// <summary>The backing file's content; the cluster has no host cluster.</summary>
    UnallocatedPlain,

    /// <summary>The backing file's content; the cluster's host cluster is kept for later.</summary>
    UnallocatedAllocated,

    /// <summary>Zeroes; no host cluster.</summary>
    ZeroPlain,

    /// <summary>Zeroes; with a host cluster.</summary>
    ZeroAllocated,

    /// <summary>Data in the host cluster.</summary>
    Normal,

    /// <summary>Part of a compressed cluster.</summary>
    Compressed,

    /// <summary>The bitmap contradicts itself or the entry: the image is corrupt.</summary>
    Invalid,
}
