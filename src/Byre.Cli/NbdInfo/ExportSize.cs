using System.Globalization;

namespace Byre.Cli.NbdInfo;

/// <summary>Sizes as libnbd's tools shorten them.</summary>
internal static class ExportSize
{
    private const string Units = "KMGTPE";

    /// <summary>In the largest unit of which it is a whole number: "1000", "256K", "5T".</summary>
    public static string Short(long bytes)
    {
        var unit = 0;
        for (; unit < Units.Length && bytes >= 1024 && bytes % 1024 == 0; unit++)
        {
            bytes /= 1024;
        }

        return bytes.ToString(CultureInfo.InvariantCulture) + (unit == 0 ? "" : Units.Substring(unit - 1, 1));
    }
}
