using Byre.Blockdev.Drivers;

namespace Byre.Blockdev.Open;

/// <summary>The drivers by name.</summary>
internal static class DriverRegistry
{
    private static readonly Dictionary<string, IBlockDriver> Drivers = new IBlockDriver[]
    {
        new RawDriver(),
        new Qcow2Driver(),
        new FileDriver("file"),
        new FileDriver("host_device"),
        new BlkdebugDriver(),
        new BlkverifyDriver(),
        new NullDriver("null-co"),
        new NullDriver("null-aio"),
    }.ToDictionary(d => d.Name, StringComparer.Ordinal);

    /// <summary>The names of the formats, in alphabetical order.</summary>
    public static IReadOnlyList<string> Formats { get; } =
        [.. Drivers.Values.Where(d => d.IsFormat).Select(d => d.Name).Order(StringComparer.Ordinal)];

    /// <summary>The names of all drivers, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Drivers.Keys.Order(StringComparer.Ordinal)];

    /// <summary>The driver of a name, or null.</summary>
    public static IBlockDriver? Find(string name) => Drivers.GetValueOrDefault(name);
}
