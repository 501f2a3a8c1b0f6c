using System.Runtime.InteropServices;

namespace Byre.Nodes;

/// <summary>The one table between <see cref="ErrorCode"/> and Linux errno values.</summary>
public static class ErrorCodes
{
    /// <summary>The errno that best says <paramref name="code"/>.</summary>
    public static int ToErrno(ErrorCode code) => code switch
    {
        ErrorCode.Invalid => 22,
        ErrorCode.NotFound => 2,
        ErrorCode.Exists => 17,
        ErrorCode.AccessDenied => 13,
        ErrorCode.NotPermitted => 1,
        ErrorCode.Locked => 11,
        ErrorCode.ReadOnly => 30,
        ErrorCode.NoSpace => 28,
        ErrorCode.Io => 5,
        ErrorCode.Corrupt => 5,
        ErrorCode.NotSupported => 95,
        ErrorCode.OutOfRange => 22,
        ErrorCode.TooLarge => 27,
        ErrorCode.Cancelled => 125,
        ErrorCode.Disconnected => 107,
        ErrorCode.WrongFormat => 124,
        ErrorCode.Busy => 16,
        _ => 5,
    };

    /// <summary>The code for an errno that a system call returned; <see cref="ErrorCode.Io"/> for those without one.</summary>
    public static ErrorCode FromErrno(int errno) => errno switch
    {
        22 => ErrorCode.Invalid,
        2 or 20 => ErrorCode.NotFound,
        17 => ErrorCode.Exists,
        13 => ErrorCode.AccessDenied,
        1 => ErrorCode.NotPermitted,
        11 => ErrorCode.Locked,
        16 or 26 => ErrorCode.Busy,
        30 => ErrorCode.ReadOnly,
        28 or 122 => ErrorCode.NoSpace,
        95 or 38 => ErrorCode.NotSupported,
        27 => ErrorCode.TooLarge,
        107 or 104 or 32 or 110 or 111 => ErrorCode.Disconnected,
        125 => ErrorCode.Cancelled,
        124 => ErrorCode.WrongFormat,
        _ => ErrorCode.Io,
    };

    /// <summary>The system's own sentence for an errno ("No space left on device").</summary>
    public static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);
}
