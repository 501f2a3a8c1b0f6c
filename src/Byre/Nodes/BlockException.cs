namespace Byre.Nodes;

/// <summary>
/// A failure of the block layer. The message is one clear line without the program's name; it names the image where the
/// thrower knows it. Expected outcomes are values, never exceptions.
/// </summary>
public sealed class BlockException : Exception
{
    /// <summary>Makes a failure.</summary>
    /// <param name="code">What went wrong.</param>
    /// <param name="message">One line for a person.</param>
    /// <param name="node">The node or file it concerns, where known.</param>
    /// <param name="offset">The byte offset in that node it concerns, where known.</param>
    /// <param name="inner">The cause, where there is one.</param>
    /// <param name="errno">The errno of the system call that failed, or 0: then <paramref name="code"/> decides.</param>
    public BlockException(
        ErrorCode code, string message, string? node = null, long? offset = null, Exception? inner = null, int errno = 0)
        : base(message, inner)
    {
        Code = code;
        NodeName = node;
        Offset = offset;
        Errno = errno != 0 ? errno : ErrorCodes.ToErrno(code);
    }

    /// <summary>What went wrong.</summary>
    public ErrorCode Code { get; }

    /// <summary>The node or file it concerns, or null.</summary>
    public string? NodeName { get; }

    /// <summary>The byte offset it concerns, or null.</summary>
    public long? Offset { get; }

    /// <summary>The Linux errno that says it best; never 0.</summary>
    public int Errno { get; }

    /// <summary>A failure from a system call: "MESSAGE: SYSTEM'S SENTENCE".</summary>
    public static BlockException FromErrno(int errno, string message, string? node = null, long? offset = null) =>
        new(ErrorCodes.FromErrno(errno), $"{message}: {ErrorCodes.Describe(errno)}", node, offset, null, errno);
}
