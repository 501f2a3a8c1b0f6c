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
        ["blkdebug", "blkverify", "file", "host_device", "luks", "nbd", "null-aio", "null-co", "qcow2", "raw"];

    /// <summary>The driver of what stands before a file name's colon, or null.</summary>
    public static IBlockDriver? FindByProtocol(string protocol) => NbdNames.IsProtocol(protocol) ? Find("nbd")
        : Find(protocol) is { IsFormat: false } found ? found
        : null;

    /// <summary>The driver of a name, or null.</summary>
    public static IBlockDriver? Find(string name) => name switch
    {
        "raw" => new RawDriver(),
        "qcow2" => new Qcow2Driver(),
        "luks" => new LuksDriver(),
        "file" or "host_device" => new FileDriver(name),
        "nbd" => new NbdDriver(),
        "blkdebug" => new BlkdebugDriver(),
        "blkverify" => new BlkverifyDriver(),
        "null-co" or "null-aio" => new NullDriver(name),
        _ => null,
    };
}
