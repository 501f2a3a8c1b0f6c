namespace Byre.Nbd.Protocol;

/// <summary>What a server replies to an option (section "Option reply types").</summary>
public enum NbdOptionReply : uint
{
    /// <summary>The last reply: it is done.</summary>
    Ack = 1,

    /// <summary>An export of <see cref="NbdOption.List"/>.</summary>
    Server = 2,

    /// <summary>A piece of information of <see cref="NbdOption.Info"/> and <see cref="NbdOption.Go"/>.</summary>
    Info = 3,

    /// <summary>A metadata context.</summary>
    MetaContext = 4,

    /// <summary>The option is not known.</summary>
    ErrorUnsupported = (1u << 31) + 1,

    /// <summary>The option is forbidden here.</summary>
    ErrorPolicy = (1u << 31) + 2,

    /// <summary>The option's data is not valid, or it comes at the wrong time.</summary>
    ErrorInvalid = (1u << 31) + 3,

    /// <summary>The server's platform cannot do it.</summary>
    ErrorPlatform = (1u << 31) + 4,

    /// <summary>TLS has to be started first.</summary>
    ErrorTlsRequired = (1u << 31) + 5,

    /// <summary>There is no such export.</summary>
    ErrorUnknown = (1u << 31) + 6,

    /// <summary>The server is ending.</summary>
    ErrorShutdown = (1u << 31) + 7,

    /// <summary>The client has to ask for block sizes.</summary>
    ErrorBlockSizeRequired = (1u << 31) + 8,

    /// <summary>The option or its reply is too long.</summary>
    ErrorTooBig = (1u << 31) + 9,

    /// <summary>Extended headers have to be negotiated first.</summary>
    ErrorExtendedHeadersRequired = (1u << 31) + 10,
}
