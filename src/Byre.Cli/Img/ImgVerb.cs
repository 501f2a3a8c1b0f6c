namespace Byre.Cli.Img;

/// <summary>A verb of the image tool.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Summary">What it does, in a few words.</param>
/// <param name="Usage">Its help, after the program's name and its own.</param>
/// <param name="Run">Runs it; the exit status.</param>
internal sealed record ImgVerb(string Name, string Summary, string Usage, Func<ImgContext, IReadOnlyList<string>, ValueTask<int>> Run)
{
    /// <summary>The exit status where the command line is wrong or an image cannot be opened.</summary>
    public int FailureStatus { get; init; } = 1;

    /// <summary>It changes nothing, so that a signal may just end it.</summary>
    public bool OnlyReads { get; init; }

    /// <summary>What it writes to standard output is what it was asked for: it fails where that cannot be written.</summary>
    public bool Answers { get; init; }
}
