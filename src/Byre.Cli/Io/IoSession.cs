using Byre.Filters;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>Runs commands one after the other on the image that is open.</summary>
internal sealed class IoSession : IAsyncDisposable
{
    private readonly IIoOpener opener;

    /// <summary>Begins without an image.</summary>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="program">The program's name in errors.</param>
    /// <param name="opener">Opens images.</param>
    public IoSession(IoStdout output, TextWriter error, string program, IIoOpener opener)
    {
        Output = output;
        Errors = error;
        Program = program;
        this.opener = opener;
    }

    /// <summary>Standard output.</summary>
    public IoStdout Output { get; }

    /// <summary>Standard error.</summary>
    public TextWriter Errors { get; }

    /// <summary>The program's name in errors.</summary>
    public string Program { get; }

    /// <summary>The requests in flight.</summary>
    public IoRequests Requests { get; } = new();

    /// <summary>The image, or null.</summary>
    public IoImage? Image { get; private set; }

    /// <summary>File names given to "open" are option strings.</summary>
    public bool ImageOpts { get; init; }

    /// <summary>The command "quit" was given.</summary>
    public bool IsOver { get; set; }

    /// <summary>Called when a blkverify node finds a difference.</summary>
    public Action<BlkverifyMismatch>? Mismatch { get; init; }

    /// <summary>The image, for commands that only run with one.</summary>
    public IoImage Open => Image ?? throw new InvalidOperationException("No image is open.");

    /// <summary>Prints "PROGRAM: MESSAGE" on standard error.</summary>
    public void Error(string message) => Errors.WriteLine($"{Program}: {message}");

    /// <summary>Prints a line on standard output and returns false.</summary>
    public bool Fail(string line)
    {
        Output.WriteLine(line);
        return false;
    }

    /// <summary>Prints how to call a command on standard output and returns false.</summary>
    public bool FailUsage(string command) => Fail(IoCommandTable.Find(command)?.UsageLine ?? command);

    /// <summary>Opens an image, as the session's.</summary>
    /// <returns>False where that failed; the reason has been printed.</returns>
    public async ValueTask<bool> OpenAsync(IoOpenRequest request)
    {
        if (Image is not null)
        {
            Error("file open already, try 'help close'");
            return false;
        }

        try
        {
            Adopt(await opener.OpenAsync(request).ConfigureAwait(false));
            return true;
        }
        catch (BlockException e)
        {
            Error($"can't open{request.Label}: {e.Message}");
            return false;
        }
    }

    /// <summary>Closes the image and opens it anew; where that fails, opens it as it was.</summary>
    public async ValueTask<bool> ReopenAsync(IoOpenRequest request)
    {
        var before = Open.Request;
        if (before.Snapshot)
        {
            // A temporary overlay would be lost.
            await Requests.DrainAsync().ConfigureAwait(false);
            Open.Request = request;
            return true;
        }

        try
        {
            await CloseAsync().ConfigureAwait(false);
            Adopt(await opener.OpenAsync(request).ConfigureAwait(false));
            return true;
        }
        catch (BlockException e)
        {
            Error(e.Message);
        }

        if (Image is null)
        {
            await OpenAsync(before).ConfigureAwait(false);
        }

        return false;
    }

    /// <summary>Waits for all requests and closes the image.</summary>
    public async ValueTask CloseAsync()
    {
        if (Image is not { } image)
        {
            return;
        }

        try
        {
            await Requests.DrainAsync().ConfigureAwait(false);
        }
        catch (IoStuckException)
        {
            image.Blkdebug?.ResumeAll();
            await Requests.DrainAsync().ConfigureAwait(false);
        }

        Image = null;
        Requests.Breakpoints = null;
        try
        {
            await image.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException) when (image.Request.WritesThrough)
        {
            // Every write has been flushed and its failure reported; what fails now repeats that.
        }
    }

    /// <summary>Runs one line: words parted by spaces. An empty line does nothing.</summary>
    /// <returns>False where the command failed; the reason has been printed.</returns>
    public async ValueTask<bool> ExecuteAsync(string line)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0)
        {
            return true;
        }

        if (IoCommandTable.Find(words[0]) is not { } command)
        {
            Errors.WriteLine($"command \"{words[0]}\" not found");
            return false;
        }

        if (!command.NeedsNoImage && Image is null)
        {
            Errors.WriteLine("no file open, try 'help open'");
            return false;
        }

        var count = words.Length - 1;
        if (count < command.MinWords || (command.MaxWords >= 0 && count > command.MaxWords))
        {
            Errors.WriteLine($"{words[0]}: {Expected(command)}, not {count}");
            return false;
        }

        if (command.Writes && Open.IsReadOnly)
        {
            Error("The image is open for reading only");
            return false;
        }

        try
        {
            return await command.RunAsync(this, words).ConfigureAwait(false);
        }
        catch (IoStuckException e)
        {
            Error($"{words[0]}: {e.Message}");
            return false;
        }
        catch (BlockException e)
        {
            Error($"{words[0]}: {e.Message}");
            return false;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await CloseAsync().ConfigureAwait(false);
        Requests.Dispose();
    }

    private static string Expected(IoCommand command)
    {
        var range = command.MaxWords < 0 ? $"at least {command.MinWords}"
            : command.MinWords == command.MaxWords ? $"{command.MinWords}"
            : $"{command.MinWords} to {command.MaxWords}";
        return $"expected {range} argument{(command.MinWords == 1 && command.MaxWords is 1 or -1 ? "" : "s")}";
    }

    private void Adopt(IoImage image)
    {
        Image = image;
        Requests.Breakpoints = image.Blkdebug;
        if (image.Blkdebug is { } debug)
        {
            debug.RequestSuspended = tag =>
            {
                Output.WriteLine($"blkdebug: Suspended request '{tag}'");
                Requests.OnSuspended();
            };
        }

        foreach (var node in image.Nodes().OfType<BlkverifyNode>())
        {
            node.Mismatch = Mismatch;
        }
    }
}
