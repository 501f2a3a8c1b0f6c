namespace Byre.Cli.Io.Commands;

/// <summary>Commands for zoned devices. No image that can be opened here is zoned, so all of them fail, clearly.</summary>
internal static class ZoneCommands
{
    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        Make("zone_append", "zap", "offset len [len..]", "writes where a zone's data ends", "zone append", 3, 4) with { Writes = true },
        Make("zone_close", "zc", "offset len", "closes zones", "zone close", 2, 2),
        Make("zone_finish", "zf", "offset len", "finishes zones", "zone finish", 2, 2),
        Make("zone_open", "zo", "offset len", "opens zones", "zone open", 2, 2),
        Make("zone_report", "zrp", "offset number", "tells about zones", "zone report", 2, 2),
        Make("zone_reset", "zrs", "offset len", "empties zones", "zone reset", 2, 2),
    ];

    private static IoCommand Make(string name, string alias, string usage, string summary, string what, int min, int max) =>
        new(name, alias, usage, summary, (session, _) => new(session.Fail($"{what} failed: Operation not supported")))
        {
            MinWords = min,
            MaxWords = max,
        };
}
