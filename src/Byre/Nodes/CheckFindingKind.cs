namespace Byre.Nodes;

/// <summary>What a check has found. The names are stable: programs see them.</summary>
public enum CheckFindingKind
{
    /// <summary>A cluster's stored reference count is higher than its references.</summary>
    RefcountTooHigh,

    /// <summary>A cluster's stored reference count is lower than its references.</summary>
    RefcountTooLow,

    /// <summary>A cluster has more references than a count can say.</summary>
    RefcountOverflow,

    /// <summary>The reference counts of some clusters cannot be read.</summary>
    RefcountUnreadable,

    /// <summary>The header's place or length of the refcount table cannot be right.</summary>
    RefcountTable,

    /// <summary>An entry of the refcount table leads to no block that could be one.</summary>
    RefcountTableEntry,

    /// <summary>A COPIED flag contradicts the reference count.</summary>
    CopiedFlag,

    /// <summary>Bits are set that the format reserves.</summary>
    ReservedBits,

    /// <summary>An entry leads to no cluster's beginning.</summary>
    Misaligned,

    /// <summary>Something lies behind the end of the file.</summary>
    OutOfFile,

    /// <summary>An entry of a compressed cluster says what such an entry cannot.</summary>
    CompressedEntry,

    /// <summary>A subcluster bitmap contradicts itself or its entry.</summary>
    SubclusterBitmap,

    /// <summary>The snapshot table as a whole cannot be right, or cannot be read to its end.</summary>
    SnapshotTable,

    /// <summary>An entry of the snapshot table is incomplete, or cannot be right.</summary>
    SnapshotEntry,

    /// <summary>Two snapshots have the same id.</summary>
    DuplicateSnapshot,

    /// <summary>The bitmap directory as a whole cannot be right, or cannot be read to its end.</summary>
    BitmapDirectory,

    /// <summary>An entry of the bitmap directory cannot be right.</summary>
    BitmapEntry,

    /// <summary>Two bitmaps have the same name.</summary>
    DuplicateBitmap,

    /// <summary>An entry of a bitmap's table cannot be right.</summary>
    BitmapTableEntry,

    /// <summary>Two structures, or a structure and the guest's data, lie in the same cluster.</summary>
    Overlap,

    /// <summary>Something was not looked into, as too much of its kind is damaged.</summary>
    NotFollowed,

    /// <summary>The image says that it reads as zeroes, and holds data.</summary>
    NotAllZero,

    /// <summary>Fields of the header do not agree; no harm comes of it.</summary>
    HeaderField,
}
