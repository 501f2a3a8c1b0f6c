namespace Byre.Cli.Img;

/// <summary>A verb ends here, with one line for a person and an exit status.</summary>
/// <param name="message">The line, without the program's name.</param>
/// <param name="status">The exit status.</param>
/// <param name="inner">The cause, where there is one.</param>
internal sealed class ImgFailure(string message, int status = 1, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The exit status.</summary>
    public int Status => status;
}
