using System.Globalization;
using System.Text;

namespace Byre.Cli.Io;

/// <summary>The lines that qemu-io prints about requests, to the letter, since scripts filter them.</summary>
internal static class IoFormat
{
    private static readonly (double Unit, string Suffix)[] Units =
    [
        (1L << 60, "EiB"), (1L << 50, "PiB"), (1L << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"),
    ];

    /// <summary>"64 KiB", "1.500 GiB", "11.011137 bytes": three digits after the point, unless all are zero.</summary>
    public static string Size(double bytes)
    {
        foreach (var (unit, suffix) in Units)
        {
            if (bytes >= unit)
            {
                return $"{Trim(Fixed(bytes / unit, 3), ".000")} {suffix}";
            }
        }

        return $"{Trim(Fixed(bytes, 6), ".000000")} bytes";
    }

    /// <summary>The two lines after a request ("read 512/512 bytes at offset 0"), or the one of machine-readable reports.</summary>
    /// <param name="verb">"read", "wrote" or "discard".</param>
    /// <param name="elapsed">How long it took.</param>
    /// <param name="offset">The first byte.</param>
    /// <param name="asked">Bytes asked for.</param>
    /// <param name="done">Bytes done.</param>
    /// <param name="machineReadable">One line of comma-separated values.</param>
    public static string Report(string verb, TimeSpan elapsed, long offset, long asked, long done, bool machineReadable)
    {
        const int Operations = 1;
        var seconds = Math.Max(elapsed.Ticks, 1) / (double)TimeSpan.TicksPerSecond;
        if (machineReadable)
        {
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{done},{Operations},{Time(elapsed, verbose: true)},{Fixed(done / seconds, 3)},{Fixed(Operations / seconds, 3)}\n");
        }

        return string.Create(
            CultureInfo.InvariantCulture,
            $"{verb} {done}/{asked} bytes at offset {offset}\n{Size(done)}, {Operations} ops; {Time(elapsed, verbose: false)} "
            + $"({Size(done / seconds)}/sec and {Fixed(Operations / seconds, 4)} ops/sec)\n");
    }

    /// <summary>"00.25 sec" below a second, "0:00:01.50" from there on; the latter always where <paramref name="verbose"/>.</summary>
    public static string Time(TimeSpan time, bool verbose)
    {
        var whole = time.Ticks / TimeSpan.TicksPerSecond;
        var fraction = time.Ticks % TimeSpan.TicksPerSecond / (double)TimeSpan.TicksPerSecond;
        return verbose || whole > 0
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"{whole / 3600}:{whole / 60 % 60:00}:{Fixed((whole % 60) + fraction, 2).PadLeft(5, '0')}")
            : $"{Fixed(fraction, 2).PadLeft(5, '0')} sec";
    }

    /// <summary>Lines of 16 bytes: offset, hexadecimal, and letters and digits as they are.</summary>
    public static void Dump(IoStdout output, long offset, ReadOnlySpan<byte> data)
    {
        var line = new StringBuilder(96);
        for (var at = 0; at < data.Length; at += 16)
        {
            var row = data.Slice(at, Math.Min(16, data.Length - at));
            line.Clear().Append(CultureInfo.InvariantCulture, $"{offset + at:x8}:  ");
            foreach (var b in row)
            {
                line.Append(CultureInfo.InvariantCulture, $"{b:x2} ");
            }

            line.Append(' ');
            foreach (var b in row)
            {
                line.Append(char.IsAsciiLetterOrDigit((char)b) ? (char)b : '.');
            }

            output.Write(line.Append('\n').ToString());
        }
    }

    private static string Fixed(double value, int digits) =>
        value.ToString("F" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static string Trim(string number, string zeroes) =>
        number.EndsWith(zeroes, StringComparison.Ordinal) ? number[..^zeroes.Length] : number;
}
