using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Byre.Jobs;

namespace Byre.Cli.Img;

/// <summary>Tells how far a verb that copies is: as qemu-img -p prints it, as lines, as JSON lines, or as a bar on a terminal.</summary>
internal sealed class ConvertProgress : IProgress<CopyProgress>, IDisposable
{
    private const PosixSignal Usr1 = (PosixSignal)10;
    private const double PercentStep = 1.0;
    private const double LineStep = 10.0;

    private readonly ImgContext context;
    private readonly Style style;
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private readonly PosixSignalRegistration? signal;
    private readonly ConvertBar? bar;
    private double shown = double.NegativeInfinity;
    private CopyProgress latest = new(0, 1);

    private ConvertProgress(Style style, ImgContext context, string verb)
    {
        this.style = style;
        this.context = context;
        bar = style == Style.Bar ? new ConvertBar(verb) : null;
        if (OperatingSystem.IsLinux())
        {
            signal = PosixSignalRegistration.Create(Usr1, OnSignal);
        }

        if (style == Style.Percent)
        {
            Report(latest);
        }
    }

    private enum Style
    {
        None,
        Percent,
        Plain,
        Json,
        Bar,
    }

    /// <summary>Where the engine tells how far it is.</summary>
    public IProgress<CopyProgress> Wanted => this;

    /// <summary>As -p, --progress=FORM and -q ask for it; the native program shows a bar on a terminal unless told otherwise.</summary>
    /// <param name="arguments">The verb's arguments.</param>
    /// <param name="context">Where it is shown.</param>
    /// <param name="verb">The verb.</param>
    /// <exception cref="ImgUsageException">The form is unknown.</exception>
    public static ConvertProgress From(ImgArguments arguments, ImgContext context, string verb = "convert")
    {
        var isNative = !context.Program.StartsWith("qemu-img", StringComparison.Ordinal);
        var style = arguments.Value("progress") switch
        {
            _ when arguments.Has("quiet") => Style.None,
            null when arguments.Has("progress") => Style.Percent,
            null => isNative && !Console.IsErrorRedirected ? Style.Bar : Style.None,
            "json" => Style.Json,
            "plain" => Style.Plain,
            "bar" => Console.IsErrorRedirected ? Style.Plain : Style.Bar,
            var other => throw new ImgUsageException($"--progress has the forms 'json', 'plain' and 'bar', not '{other}'"),
        };
        return new ConvertProgress(style, context, verb);
    }

    /// <summary>Runs the copy; a bar is shown meanwhile.</summary>
    public Task RunAsync(Func<Task> copy) => bar is null ? copy() : bar.RunAsync(copy);

    /// <inheritdoc/>
    public void Report(CopyProgress value)
    {
        latest = value;
        var percent = value.Fraction * 100;
        var step = style switch { Style.Plain => LineStep, Style.Json => PercentStep, _ => PercentStep };
        if (style == Style.Bar)
        {
            bar!.Report(value);
            return;
        }

        if (style == Style.None || (percent < shown + step && !(percent >= 100 && shown < 100)))
        {
            return;
        }

        shown = percent;
        Show(value, percent);
    }

    /// <summary>Everything is done.</summary>
    public void Finish()
    {
        if (style == Style.Percent)
        {
            Write("    (100.00/100%)\r\n");
            shown = double.PositiveInfinity;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        signal?.Dispose();
        if (style == Style.Percent && !double.IsPositiveInfinity(shown))
        {
            Write("\n");
        }
    }

    private void Show(CopyProgress value, double percent)
    {
        var seconds = clock.Elapsed.TotalSeconds;
        var rate = seconds > 0 ? (long)(value.BytesDone / seconds) : 0;
        Write(style switch
        {
            Style.Percent => string.Create(CultureInfo.InvariantCulture, $"    ({percent:F2}/100%)\r"),
            Style.Plain => string.Create(
                CultureInfo.InvariantCulture,
                $"{percent,3:F0}%  {HumanSize.Of(value.BytesDone)} of {HumanSize.Of(value.BytesTotal)}  {HumanSize.Of(rate)}/s\n"),
            _ => string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"done\": {value.BytesDone}, \"total\": {value.BytesTotal}, \"percent\": {percent:F2}, \"seconds\": {seconds:F3}, \"bytes-per-second\": {rate}}}\n"),
        });
    }

    private void Write(string text)
    {
        context.Output.Write(text);
        context.Output.Flush();
    }

    private void OnSignal(PosixSignalContext signalContext)
    {
        signalContext.Cancel = true;
        context.Note(string.Create(CultureInfo.InvariantCulture, $"    ({latest.Fraction * 100:F2}/100%)"));
    }
}
