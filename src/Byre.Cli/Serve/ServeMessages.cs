namespace Byre.Cli.Serve;

/// <summary>Lines on standard error, from several threads.</summary>
internal sealed class ServeMessages(string program) : IDisposable
{
    private readonly StandardError errors = new();
    private readonly Lock gate = new();

    /// <summary>Writes "PROGRAM: TEXT" as one line.</summary>
    public void Tell(string text)
    {
        lock (gate)
        {
            errors.WriteLine($"{program}: {text.ReplaceLineEndings(" ")}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => errors.Dispose();
}
