namespace Byre.Nbd.Client;

/// <summary>The version of the handshake that a server speaks (section "Handshake").</summary>
public enum NbdHandshakeStyle
{
    /// <summary>"oldstyle": one export, nothing is negotiated.</summary>
    OldStyle,

    /// <summary>"newstyle": the export is chosen by its name, nothing else can be asked for.</summary>
    NewStyle,

    /// <summary>"fixed newstyle": options get replies.</summary>
    FixedNewStyle,
}
