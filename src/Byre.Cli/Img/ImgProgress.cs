using System.Diagnostics;
using System.Globalization;
using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>How far a verb is: as qemu-img prints it, or as a line of JSON a step.</summary>
internal sealed class ImgProgress
{
    private const double Step = 2.0;

    private readonly IoStdout output;
    private readonly Style style;
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private double last = double.NegativeInfinity;

    private ImgProgress(IoStdout output, Style style)
    {
        this.output = output;
        this.style = style;
    }

    private enum Style
    {
        None,
        Percent,
        Json,
    }

    /// <summary>As -p and --progress[=json] ask for it; -q wins over it.</summary>
    /// <exception cref="ImgUsageException">The form is unknown.</exception>
    public static ImgProgress From(ImgArguments arguments, IoStdout output) => new(output, arguments.Value("progress") switch
    {
        _ when !arguments.Has("progress") || arguments.Has("quiet") => Style.None,
        null => Style.Percent,
        "json" => Style.Json,
        var other => throw new ImgUsageException($"--progress has the form 'json', not '{other}'"),
    });

    /// <summary>Tells how much is done; steps of less than two percent are passed over.</summary>
    /// <param name="done">Done so far.</param>
    /// <param name="total">Of so much.</param>
    public void Report(long done, long total)
    {
        if (style == Style.None)
        {
            return;
        }

        var percent = total <= 0 ? 100 : Math.Clamp(100.0 * done / total, 0, 100);
        if (percent - last < Step && !(percent >= 100 && last < 100))
        {
            return;
        }

        last = percent;
        output.Write(style == Style.Percent
            ? string.Create(CultureInfo.InvariantCulture, $"    ({percent:F2}/100%)\r")
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"done\": {done}, \"total\": {total}, \"percent\": {percent:F2}, \"seconds\": {clock.Elapsed.TotalSeconds:F3}}}\n"));
        output.Flush();
    }

    /// <summary>The end: the next output begins on a line of its own.</summary>
    public void End()
    {
        if (style == Style.Percent)
        {
            output.Write("\n");
            output.Flush();
        }
    }
}
