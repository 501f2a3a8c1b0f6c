using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd;

/// <summary>The one table between <see cref="ErrorCode"/> and the errors of the protocol (section "Error values").</summary>
public static class NbdErrors
{
    /// <summary>What a server answers where a request failed with a code.</summary>
    /// <param name="code">Why it failed.</param>
    /// <param name="command">The request: past the end, writes get ENOSPC and others EINVAL.</param>
    public static NbdError FromCode(ErrorCode code, NbdCommand command) => code switch
    {
        ErrorCode.ReadOnly or ErrorCode.NotPermitted or ErrorCode.AccessDenied => NbdError.NotPermitted,
        ErrorCode.Invalid => NbdError.Invalid,
        ErrorCode.OutOfRange => command is NbdCommand.Write or NbdCommand.WriteZeroes ? NbdError.NoSpace : NbdError.Invalid,
        ErrorCode.NoSpace or ErrorCode.TooLarge => NbdError.NoSpace,
        ErrorCode.NotSupported => NbdError.NotSupported,
        _ => NbdError.Io,
    };

    /// <summary>What an error of a server means here; numbers that are not known mean <see cref="ErrorCode.Io"/>.</summary>
    public static ErrorCode ToCode(NbdError error) => error switch
    {
        NbdError.NotPermitted => ErrorCode.NotPermitted,
        NbdError.Invalid => ErrorCode.Invalid,
        NbdError.NoSpace => ErrorCode.NoSpace,
        NbdError.Overflow => ErrorCode.TooLarge,
        NbdError.NotSupported => ErrorCode.NotSupported,
        NbdError.Shutdown => ErrorCode.Disconnected,
        _ => ErrorCode.Io,
    };

    /// <summary>An error in words, as the system says it.</summary>
    public static string Describe(NbdError error) => error switch
    {
        NbdError.NotPermitted or NbdError.Io or NbdError.NoMemory or NbdError.Invalid or NbdError.NoSpace or NbdError.Overflow
            or NbdError.NotSupported or NbdError.Shutdown => ErrorCodes.Describe((int)error),
        _ => $"error {(uint)error}",
    };
}
