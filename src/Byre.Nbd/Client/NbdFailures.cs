using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>The failures of a client, each one line that names the server.</summary>
internal static class NbdFailures
{
    private const int LongestText = 300;
    private const int InputOutput = 5;

    /// <summary>The server does what the specification forbids. Nothing it says can be trusted.</summary>
    public static BlockException Broken(string server, string what) =>
        new(ErrorCode.Corrupt, $"The NBD server at '{server}' breaks the protocol: {what}", server);

    /// <summary>The connection is gone.</summary>
    public static BlockException Lost(string server, string why, Exception? inner = null) =>
        new(ErrorCode.Disconnected, $"The connection to the NBD server at '{server}' is lost: {why}", server, null, inner, InputOutput);

    /// <summary>No connection, or none that can be used.</summary>
    public static BlockException NotConnected(string server, string why, Exception? inner = null, int errno = 0) =>
        new(ErrorCode.Disconnected, $"Failed to connect to '{server}': {why}", server, null, inner, errno);

    /// <summary>The server refuses an option.</summary>
    public static BlockException Refused(string server, string what, NbdOptionReply reply, string? text)
    {
        var (code, why) = reply switch
        {
            NbdOptionReply.ErrorUnsupported => (ErrorCode.NotSupported, "it does not know this"),
            NbdOptionReply.ErrorPolicy => (ErrorCode.NotPermitted, "its policy forbids it"),
            NbdOptionReply.ErrorInvalid => (ErrorCode.Invalid, "it calls the request invalid"),
            NbdOptionReply.ErrorPlatform => (ErrorCode.NotSupported, "its platform cannot do it"),
            NbdOptionReply.ErrorTlsRequired => (ErrorCode.AccessDenied, "it requires TLS"),
            NbdOptionReply.ErrorUnknown => (ErrorCode.NotFound, "there is no such export"),
            NbdOptionReply.ErrorShutdown => (ErrorCode.Disconnected, "it is shutting down"),
            NbdOptionReply.ErrorBlockSizeRequired => (ErrorCode.NotSupported, "it requires sizes of blocks to be kept to"),
            NbdOptionReply.ErrorTooBig => (ErrorCode.TooLarge, "the request or the reply is too large"),
            NbdOptionReply.ErrorExtendedHeadersRequired => (ErrorCode.NotSupported, "it requires extended headers"),
            _ => (ErrorCode.Io, $"error {(uint)reply & 0x7fffffff}"),
        };
        return new BlockException(
            code, $"The NBD server at '{server}' refuses {what}: {why}{(string.IsNullOrEmpty(text) ? "" : $" ('{Printable(text)}')")}", server);
    }

    /// <summary>The server answers a request with an error.</summary>
    public static BlockException Answered(string server, NbdCommand command, long offset, NbdError error, string? text)
    {
        var verb = command switch
        {
            NbdCommand.Read => "a read",
            NbdCommand.Write => "a write",
            NbdCommand.Flush => "a flush",
            NbdCommand.Trim => "a trim",
            NbdCommand.Cache => "a read ahead",
            NbdCommand.WriteZeroes => "a write of zeroes",
            NbdCommand.BlockStatus => "a question for block status",
            _ => "a change of the length",
        };
        var errno = ErrnoOf(error);
        return new BlockException(
            NbdErrors.ToCode((NbdError)errno),
            $"The NBD server at '{server}' answered {verb} at byte {offset}: {NbdErrors.Describe(error)}"
                + (string.IsNullOrEmpty(text) ? "" : $" ('{Printable(text)}')"),
            server,
            offset,
            errno: errno);
    }

    /// <summary>A text of a server that nobody trusts: one line, and not for ever.</summary>
    public static string Printable(string text)
    {
        var line = string.Create(Math.Min(text.Length, LongestText), text, static (span, text) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(text[i]) || char.IsSurrogate(text[i]) ? '?' : text[i];
            }
        });
        return text.Length > LongestText ? line + "..." : line;
    }

    private static int ErrnoOf(NbdError error) => error switch
    {
        NbdError.NotPermitted or NbdError.Io or NbdError.NoMemory or NbdError.Invalid or NbdError.NoSpace or NbdError.Overflow
            or NbdError.NotSupported or NbdError.Shutdown => (int)error,
        _ => (int)NbdError.Invalid, // section "Error values": as if it had been EINVAL
    };
}
