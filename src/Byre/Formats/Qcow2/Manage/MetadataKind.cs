namespace Byre.Formats.Qcow2.Manage;

/// <summary>What a cluster is used for by the image itself.</summary>
[Flags]
internal enum MetadataKind : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The header, or the LUKS header.</summary>
    Header = 1,

    /// <summary>An L1 table.</summary>
    L1Table = 2,

    /// <summary>An L2 table.</summary>
    L2Table = 4,

    /// <summary>The refcount table.</summary>
    RefcountTable = 8,

    /// <summary>A refcount block.</summary>
    RefcountBlock = 16,

    /// <summary>The snapshot table.</summary>
    SnapshotTable = 32,

    /// <summary>The bitmap directory, a bitmap's table or its data.</summary>
    Bitmap = 64,

    /// <summary>More than one of these, or one of these and guest data: nothing may be written there.</summary>
    Overlap = 128,
}
