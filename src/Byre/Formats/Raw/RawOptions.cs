using System.Collections.ObjectModel;

namespace Byre.Formats.Raw;

/// <summary>What part of the file below is the disk.</summary>
public sealed record RawOptions
{
    /// <summary>First byte of the disk in the file; any.</summary>
    public long Offset { get; init; }

    /// <summary>Length of the disk in bytes, a multiple of 512; null for all the rest of the file.</summary>
    public long? Size { get; init; }

    /// <summary>
    /// The format was guessed: writes that would make the first sector look like another format are refused, so that the
    /// next guess cannot be led astray by what a guest wrote.
    /// </summary>
    public bool WasProbed { get; init; }

    /// <summary>The options as they were given, as JSON values by their keys (see <see cref="Nodes.IGivenOptions"/>).</summary>
    public IReadOnlyDictionary<string, string> Given { get; init; } = ReadOnlyDictionary<string, string>.Empty;
}
