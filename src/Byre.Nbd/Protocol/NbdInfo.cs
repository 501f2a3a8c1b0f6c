namespace Byre.Nbd.Protocol;

/// <summary>A piece of information about an export (section "Option reply types", NBD_REP_INFO).</summary>
public enum NbdInfo : ushort
{
    /// <summary>Length and transmission flags; always sent.</summary>
    Export = 0,

    /// <summary>The export's canonical name.</summary>
    Name = 1,

    /// <summary>A text about the export.</summary>
    Description = 2,

    /// <summary>Minimum, preferred and maximum sizes.</summary>
    BlockSize = 3,

    /// <summary>What the export's content is when the client connects (an extension: NBD_INFO_INIT_STATE).</summary>
    InitialState = 4,
}
