namespace Byre.Nbd.Tls;

/// <summary>How far a step of a TLS session came.</summary>
internal enum TlsStep
{
    /// <summary>It is done.</summary>
    Done,

    /// <summary>It goes on when bytes have come.</summary>
    WantsRead,

    /// <summary>It goes on when bytes can be sent.</summary>
    WantsWrite,

    /// <summary>The peer has ended the connection.</summary>
    Ended,

    /// <summary>The session is of no more use.</summary>
    Failed,
}
