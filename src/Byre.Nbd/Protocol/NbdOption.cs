namespace Byre.Nbd.Protocol;

/// <summary>What a client asks for during the handshake (section "Option types").</summary>
public enum NbdOption : uint
{
    /// <summary>Ends the handshake with an export; a failure closes the connection.</summary>
    ExportName = 1,

    /// <summary>Ends the connection.</summary>
    Abort = 2,

    /// <summary>Asks for the exports' names.</summary>
    List = 3,

    /// <summary>Withdrawn from the protocol.</summary>
    PeekExport = 4,

    /// <summary>Goes over to TLS.</summary>
    StartTls = 5,

    /// <summary>Asks about an export.</summary>
    Info = 6,

    /// <summary>Asks about an export and ends the handshake with it.</summary>
    Go = 7,

    /// <summary>Turns structured replies on.</summary>
    StructuredReply = 8,

    /// <summary>Asks which metadata contexts an export has.</summary>
    ListMetaContext = 9,

    /// <summary>Selects metadata contexts of an export.</summary>
    SetMetaContext = 10,

    /// <summary>Turns extended headers on (extension EXTENDED_HEADERS).</summary>
    ExtendedHeaders = 11,
}
