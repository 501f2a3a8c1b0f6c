namespace Byre.Nodes;

/// <summary>The table that a finding of a check is about. The names are stable: programs see them.</summary>
public enum CheckTable
{
    /// <summary>The header.</summary>
    Header,

    /// <summary>The active L1 table, or that of a snapshot.</summary>
    L1,

    /// <summary>An L2 table.</summary>
    L2,

    /// <summary>The refcount table.</summary>
    RefcountTable,

    /// <summary>The snapshot table.</summary>
    SnapshotTable,

    /// <summary>The bitmap directory.</summary>
    BitmapDirectory,

    /// <summary>A bitmap's table.</summary>
    BitmapTable,
}
