using System.Text;

namespace Byre.Cli;

/// <summary>
/// Standard error, written at once. Where it is closed or full there is nobody to tell, so that is no failure. Names out of
/// images that nobody trusts get here: a line stays one line, and no control character reaches the terminal.
/// </summary>
internal sealed class StandardError : TextWriter
{
    private readonly Stream stream = Console.OpenStandardError();

    /// <inheritdoc/>
    public override Encoding Encoding { get; } = new UTF8Encoding(false);

    /// <inheritdoc/>
    public override void Write(char value) => Write(value.ToString());

    /// <inheritdoc/>
    public override void Write(string? value)
    {
        try
        {
            stream.Write(Encoding.GetBytes(PlainText.Of(value ?? "")));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // As the summary says.
        }
    }

    /// <inheritdoc/>
    public override void WriteLine(string? value) => Write(PlainText.LineOf(value ?? "") + "\n");

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        stream.Dispose();
        base.Dispose(disposing);
    }
}
