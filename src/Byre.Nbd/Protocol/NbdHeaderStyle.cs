namespace Byre.Nbd.Protocol;

/// <summary>The form of requests and replies in the transmission phase.</summary>
public enum NbdHeaderStyle : byte
{
    /// <summary>Compact requests, simple replies.</summary>
    Simple = 0,

    /// <summary>Compact requests, structured replies.</summary>
    Structured = 1,

    /// <summary>Extended requests and replies.</summary>
    Extended = 2,
}
