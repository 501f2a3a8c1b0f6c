using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>What a failure of the image means to a client. The image's own words go to the log only: they name files.</summary>
/// <param name="exportName">The export, for the log.</param>
/// <param name="log">Where to, or null.</param>
internal sealed class RequestFailures(string exportName, Action<string>? log)
{
    /// <summary>The error to answer a request with.</summary>
    public NbdError Explain(Exception failure, in NbdRequestHeader request)
    {
        var error = failure switch
        {
            BlockException { Code: ErrorCode.NotSupported } => request.Command == NbdCommand.WriteZeroes
                && (request.Flags & NbdCommandFlags.FastZero) != 0 ? NbdError.NotSupported : NbdError.Invalid,
            BlockException block => NbdErrors.FromCode(block.Code, request.Command),
            ObjectDisposedException or OperationCanceledException => NbdError.Shutdown,
            OutOfMemoryException => NbdError.NoMemory,
            _ => NbdError.Io,
        };
        if (error is not (NbdError.NotSupported or NbdError.Shutdown))
        {
            log?.Invoke($"export '{exportName}': {request.Command} of {request.Length} bytes at {request.Offset} failed: {failure.Message}");
        }

        return error;
    }

    /// <summary>An error in words that say nothing of the image.</summary>
    public static string Describe(NbdError error) => error switch
    {
        NbdError.NotPermitted => "the export may not be changed so",
        NbdError.NoSpace => "no space is left, or the range ends behind the export",
        NbdError.Overflow => "the range is too long for one request",
        NbdError.NotSupported => "zeroes would be written as data here",
        NbdError.Shutdown => "the server is ending",
        NbdError.NoMemory => "the server is out of memory",
        NbdError.Invalid => "the request is not valid",
        _ => "the image could not be read or written",
    };
}
