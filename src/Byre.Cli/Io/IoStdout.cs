using System.Text;

namespace Byre.Cli.Io;

/// <summary>
/// Standard output as a C program's: in blocks of 4 KiB where it is a file or a pipe, line by line where it is a terminal.
/// Scripts that join standard error to it see the lines in the order they know from qemu-io.
/// </summary>
internal sealed class IoStdout(Stream stream, bool isTerminal) : IDisposable
{
    private readonly Lock gate = new();
    private readonly byte[] block = new byte[4096];
    private readonly Action? unread;
    private int used;

    private IoStdout(Action unread)
        : this(Console.OpenStandardOutput(), !Console.IsOutputRedirected) => this.unread = unread;

    /// <summary>The process's own, of a program that has nothing to do but to print: it ends as SIGPIPE ends others when nobody reads on.</summary>
    public static IoStdout OfPrinter() => new(() => Signals.Raise(Signals.BrokenPipe));

    /// <summary>Why something could not be written, or null; what is written afterwards is dropped. A closed pipe is no failure.</summary>
    public string? Failure { get; private set; }

    /// <summary>Appends text.</summary>
    public void Write(string text)
    {
        lock (gate)
        {
            ReadOnlySpan<byte> bytes = Encoding.UTF8.GetBytes(text);
            while (!bytes.IsEmpty)
            {
                var n = Math.Min(bytes.Length, block.Length - used);
                bytes[..n].CopyTo(block.AsSpan(used));
                used += n;
                bytes = bytes[n..];
                if (used == block.Length || (isTerminal && text.EndsWith('\n')))
                {
                    Flush();
                }
            }
        }
    }

    /// <summary>Appends a line.</summary>
    public void WriteLine(string text) => Write(text + "\n");

    /// <summary>Hands everything to the system.</summary>
    public void Flush()
    {
        lock (gate)
        {
            try
            {
                if (used > 0 && unread is not null && OutputPipe.HasNoReader())
                {
                    unread();
                }

                if (Failure is null)
                {
                    stream.Write(block, 0, used);
                    stream.Flush();
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Failure = e is IOException ? e.Message : "it is closed, or open for reading only";
            }

            used = 0;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Flush();
        stream.Dispose();
    }
}
