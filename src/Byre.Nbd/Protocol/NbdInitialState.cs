namespace Byre.Nbd.Protocol;

/// <summary>What is known of an export's content when a client connects (NBD_INFO_INIT_STATE).</summary>
[Flags]
public enum NbdInitialState : ushort
{
    /// <summary>Nothing is known.</summary>
    None = 0,

    /// <summary>Parts of it are holes.</summary>
    Sparse = 1 << 0,

    /// <summary>All bytes read as zero.</summary>
    Zero = 1 << 1,
}
