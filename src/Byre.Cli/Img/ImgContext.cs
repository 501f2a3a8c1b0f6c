using Byre.Blockdev;
using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>What a verb runs in: its streams, the program's name, and what is to be removed if it does not end well.</summary>
/// <param name="output">Standard output.</param>
/// <param name="openErrors">Opens standard error when the first line is written to it.</param>
/// <param name="program">The program's name in errors.</param>
internal sealed class ImgContext(IoStdout output, Func<TextWriter> openErrors, string program)
{
    private TextWriter? errors;
    private int interrupted;

    /// <summary>Standard output.</summary>
    public IoStdout Output => output;

    /// <summary>The program's name in errors: "qemu-img" or "byre".</summary>
    public string Program => program;

    /// <summary>Files that are not complete yet.</summary>
    public PartialTargets Targets { get; } = new();

    /// <summary>The objects of the command line; gone, and secrets overwritten, when the verb has ended.</summary>
    public ObjectStore Objects { get; } = new();

    /// <summary>The secrets among the objects.</summary>
    public SecretStore Secrets => Objects.Secrets;

    /// <summary>Cancelled when somebody asks the program to end.</summary>
    public CancellationToken Stopping { get; init; }

    /// <summary>Writes "PROGRAM: MESSAGE" to standard error.</summary>
    public void Error(string message) => Note($"{program}: {message}");

    /// <summary>Says that a verb was interrupted; once, whoever notices first.</summary>
    public void Interrupted(string verb)
    {
        if (Interlocked.Exchange(ref interrupted, 1) == 0)
        {
            Error($"{verb}: interrupted");
        }
    }

    /// <summary>Writes a line to standard error, after everything that was written to standard output.</summary>
    public void Note(string line)
    {
        output.Flush();
        (errors ??= openErrors()).WriteLine(line);
        errors.Flush();
    }
}
