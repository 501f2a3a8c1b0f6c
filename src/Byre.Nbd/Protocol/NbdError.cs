namespace Byre.Nbd.Protocol;

/// <summary>An error on the wire (section "Error values").</summary>
public enum NbdError : uint
{
    /// <summary>No error.</summary>
    None = 0,

    /// <summary>EPERM.</summary>
    NotPermitted = 1,

    /// <summary>EIO.</summary>
    Io = 5,

    /// <summary>ENOMEM.</summary>
    NoMemory = 12,

    /// <summary>EINVAL.</summary>
    Invalid = 22,

    /// <summary>ENOSPC.</summary>
    NoSpace = 28,

    /// <summary>EOVERFLOW.</summary>
    Overflow = 75,

    /// <summary>ENOTSUP.</summary>
    NotSupported = 95,

    /// <summary>ESHUTDOWN.</summary>
    Shutdown = 108,
}
