using Byre.Blockdev.Amend;
using Byre.Blockdev.Create;
using Byre.Blockdev.Open;

namespace Byre.Blockdev;

/// <summary>What formats there are, and what they can be created with.</summary>
public static class FormatRegistry
{
    /// <summary>The names of the formats that can be opened, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names => DriverRegistry.Formats;

    /// <summary>The names of all drivers that options can name, in alphabetical order.</summary>
    public static IReadOnlyList<string> DriverNames => DriverRegistry.Names;

    /// <summary>The options an image of a format is created with, in alphabetical order.</summary>
    /// <returns>Null where images of that name cannot be created.</returns>
    public static IReadOnlyList<CreateOption>? CreateOptionDescriptions(string format) => CreateOptions.Describe(format);

    /// <summary>The options of an image of a format that can be changed, in alphabetical order.</summary>
    /// <returns>Null where nothing of such an image can be changed.</returns>
    public static IReadOnlyList<CreateOption>? AmendOptionDescriptions(string format) => AmendOptions.Describe(format);

    /// <summary>Whether an image may name a format as that of its backing file; not all of these can be opened.</summary>
    public static bool IsKnown(string format) => CreatePlanner.IsKnown(format);
}
