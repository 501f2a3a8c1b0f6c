using Byre.Blockdev.Drivers;

namespace Byre.Blockdev.Open;

/// <summary>The drivers by name.</summary>
internal static class DriverRegistry
{
    // A switch and not a dictionary: most runs of the program need one driver or two.

    /// <summary>The names of the formats, in alphabetical order.</summary>
    public static IReadOnlyList<string> Formats { get; } = ["luks", "qcow2", "raw"];

    /// <summary>The names of all drivers, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["blkdebug", "blkverify", "file", "host_device", "luks", "null-aio", "null-co", "qcow2", "raw"];

    /// <summary>The driver of a name, or null.</summary>
    public static IBlockDriver? Find(string name) => name switch
    {
        "raw" => new RawDriver(),
        "qcow2" => new Qcow2Driver(),
        "luks" => new LuksDriver(),
        "file" or "host_device" => new FileDriver(name),
        "blkdebug" => new BlkdebugDriver(),
        "blkverify" => new BlkverifyDriver(),
        "null-co" or "null-aio" => new NullDriver(name),
        _ => null,
    };
}
