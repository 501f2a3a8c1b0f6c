namespace Byre.Formats.Qcow2;

/// <summary>Which metadata writes are checked against, so that a wrong refcount cannot make data overwrite it.</summary>
[Flags]
public enum OverlapChecks
{
    /// <summary>No checks.</summary>
    None = 0,

    /// <summary>The header (QEMU's "main-header").</summary>
    MainHeader = 1,

    /// <summary>The active L1 table ("active-l1").</summary>
    ActiveL1 = 2,

    /// <summary>The active L2 tables ("active-l2").</summary>
    ActiveL2 = 4,

    /// <summary>The refcount table ("refcount-table").</summary>
    RefcountTable = 8,

    /// <summary>The refcount blocks ("refcount-block").</summary>
    RefcountBlock = 16,

    /// <summary>The snapshot table ("snapshot-table").</summary>
    SnapshotTable = 32,

    /// <summary>The L1 tables of snapshots ("inactive-l1").</summary>
    InactiveL1 = 64,

    /// <summary>The L2 tables of snapshots ("inactive-l2").</summary>
    InactiveL2 = 128,

    /// <summary>The bitmap directory and the tables it names ("bitmap-directory").</summary>
    BitmapDirectory = 256,

    /// <summary>What costs no reading and does not change: QEMU's template "constant".</summary>
    Constant = MainHeader | ActiveL1 | RefcountTable | SnapshotTable | BitmapDirectory,

    /// <summary>What is in memory anyway: QEMU's template "cached", its default.</summary>
    Cached = Constant | ActiveL2 | RefcountBlock | InactiveL1,

    /// <summary>Everything: QEMU's template "all".</summary>
    All = Cached | InactiveL2,
}
