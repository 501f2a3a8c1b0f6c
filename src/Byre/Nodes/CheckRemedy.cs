namespace Byre.Nodes;

/// <summary>
/// What a repair does about a finding, unless something else that is wrong prevents it. The names are stable: programs see
/// them.
/// </summary>
public enum CheckRemedy
{
    /// <summary>Nothing: it is harmless, or cannot be mended.</summary>
    None,

    /// <summary>Either repair lowers the count: the cluster is free again.</summary>
    LowerRefcount,

    /// <summary>A repair of everything raises the count.</summary>
    RaiseRefcount,

    /// <summary>A repair of everything makes new refcount tables.</summary>
    RebuildRefcounts,

    /// <summary>A repair puts the flag right once the counts are.</summary>
    SetCopiedFlag,

    /// <summary>A repair of everything replaces the entry by one that reads as zeroes; it stands for no data.</summary>
    ZeroEntry,

    /// <summary>A repair of everything completes the snapshot's entry, cuts what is too long of it, or clears the place of a table that is not there.</summary>
    MendSnapshot,

    /// <summary>A repair of everything drops the snapshot, which nothing can read.</summary>
    DropSnapshot,

    /// <summary>A repair of everything drops the bitmap, which nothing can read; the disk's data is untouched.</summary>
    DropBitmap,

    /// <summary>A repair of everything clears the feature's bit.</summary>
    ClearFeature,
}
