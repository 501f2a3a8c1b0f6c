namespace Byre.Cli.Io;

/// <summary>A command of the applet.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Alias">Its short name, or null.</param>
/// <param name="Usage">Its options and operands.</param>
/// <param name="Summary">What it does, in a few words.</param>
/// <param name="RunAsync">Does it; false where it failed.</param>
internal sealed record IoCommand(
    string Name, string? Alias, string Usage, string Summary, Func<IoSession, IReadOnlyList<string>, ValueTask<bool>> RunAsync)
{
    /// <summary>The fewest words after the command.</summary>
    public int MinWords { get; init; }

    /// <summary>The most words after the command; -1 for any number.</summary>
    public int MaxWords { get; init; } = -1;

    /// <summary>Works without an open image.</summary>
    public bool NeedsNoImage { get; init; }

    /// <summary>Changes the image.</summary>
    public bool Writes { get; init; }

    /// <summary>The letters of its options, a colon behind those that take a value.</summary>
    public string Letters { get; init; } = "";

    /// <summary>More for "help NAME": lines without indentation, or none.</summary>
    public IReadOnlyList<string> Help { get; init; } = [];

    /// <summary>The line in the list of commands.</summary>
    public string UsageLine => $"{Name} {Usage} -- {Summary}";
}
