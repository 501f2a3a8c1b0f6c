namespace Byre.Formats.Qcow2.Layout;

/// <summary>What an image may ask of its reader; the same bounds as QEMU's.</summary>
public static class Qcow2Limits
{
    /// <summary>Smallest cluster_bits: 512 bytes.</summary>
    public const int MinClusterBits = 9;

    /// <summary>Largest cluster_bits: 2 MiB.</summary>
    public const int MaxClusterBits = 21;

    /// <summary>Smallest cluster_bits with subclusters: 16 KiB.</summary>
    public const int MinSubclusterClusterBits = 14;

    /// <summary>Largest L1 table in bytes.</summary>
    public const int MaxL1Bytes = 32 << 20;

    /// <summary>Largest refcount table in bytes.</summary>
    public const int MaxRefcountTableBytes = 8 << 20;

    /// <summary>Most snapshots.</summary>
    public const int MaxSnapshots = 65536;

    /// <summary>Largest snapshot table in bytes.</summary>
    public const int MaxSnapshotTableBytes = 64 << 20;

    /// <summary>Most extra data of a snapshot in bytes.</summary>
    public const int MaxSnapshotExtraBytes = 1024;

    /// <summary>Longest backing file name in bytes.</summary>
    public const int MaxBackingNameBytes = 1023;
}
