using System.Globalization;
using Byre.Cli.Img;

namespace Byre.Cli.Serve;

/// <summary>TCP ports by number or by the name that /etc/services has for them (services(5)).</summary>
internal static class ServicePort
{
    private const string Names = "/etc/services";

    /// <summary>Reads a port.</summary>
    /// <param name="text">A number, or the name or another name of a service.</param>
    /// <param name="least">The least number allowed: 0 or 1.</param>
    /// <exception cref="ImgFailure">It is no number from <paramref name="least"/> to 65535, and no name that is known.</exception>
    public static int Parse(string text, int least)
    {
        if (text.Length > 0 && !char.IsAsciiDigit(text[0]) && PortOf(text) is { } named)
        {
            return named;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port >= least && port <= ushort.MaxValue
            ? port
            : throw new ImgFailure($"invalid port '{text}': it is a number from {least} to {ushort.MaxValue}, or a name in {Names}");
    }

    private static int? PortOf(string name)
    {
        try
        {
            foreach (var line in File.ReadLines(Names))
            {
                var words = line.Split('#')[0].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
                if (words.Length >= 2 && words[1].Split('/') is [var number, "tcp"] && (words[0] == name || words.AsSpan(2).Contains(name))
                    && ushort.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var port))
                {
                    return port;
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Then there are no names.
        }

        return null;
    }
}
