namespace Byre.Nodes;

/// <summary>A node whose name is made of the options it was opened with, so that the name opens the same again.</summary>
public interface IGivenOptions
{
    /// <summary>
    /// The options that decide what it shows, as they were given: JSON values ("1k" with its quotes, 1024, true, null) by their
    /// keys. Empty where there are none, or it was not opened by options.
    /// </summary>
    IReadOnlyDictionary<string, string> GivenOptions { get; }
}
