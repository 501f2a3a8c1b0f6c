namespace Byre.Nodes;

/// <summary>What went wrong, as a value a program can act on. One table (<see cref="ErrorCodes"/>) maps it to errno.</summary>
public enum ErrorCode
{
    /// <summary>An argument or an option is not valid (EINVAL).</summary>
    Invalid,

    /// <summary>A file, node, snapshot or bitmap does not exist (ENOENT).</summary>
    NotFound,

    /// <summary>The target exists already (EEXIST).</summary>
    Exists,

    /// <summary>The system refuses access (EACCES).</summary>
    AccessDenied,

    /// <summary>The operation needs a permission that this edge does not hold (EPERM).</summary>
    NotPermitted,

    /// <summary>Another user of the image holds a conflicting lock or permission (EAGAIN).</summary>
    Locked,

    /// <summary>The node or the file system is read-only (EROFS).</summary>
    ReadOnly,

    /// <summary>No space is left (ENOSPC).</summary>
    NoSpace,

    /// <summary>The device reports an input or output error (EIO).</summary>
    Io,

    /// <summary>Metadata contradicts itself or the specification (EIO in QEMU's tools).</summary>
    Corrupt,

    /// <summary>The image uses a feature that is not known or not supported here (ENOTSUP).</summary>
    NotSupported,

    /// <summary>A range lies outside the node (EINVAL for reads, ENOSPC for writes past the end in NBD).</summary>
    OutOfRange,

    /// <summary>A number is over a limit of the format or of this implementation (EFBIG).</summary>
    TooLarge,

    /// <summary>The operation was cancelled (ECANCELED).</summary>
    Cancelled,

    /// <summary>A connection was lost or timed out (ENOTCONN).</summary>
    Disconnected,

    /// <summary>The format of the image was not recognised, or is another one than asked for (EMEDIUMTYPE).</summary>
    WrongFormat,

    /// <summary>The node is in use for something that excludes the operation (EBUSY).</summary>
    Busy,
}
