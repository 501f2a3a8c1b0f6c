using System.Globalization;
using System.Text;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Copy;

/// <summary>Tells how far a copy is: a bar on standard error, or lines "N/100" on a descriptor, as nbdcopy writes them.</summary>
internal sealed class CopyProgressText : IProgress<CopyProgress>, IDisposable
{
    private const int BarWidth = 40;
    private const int StandardErrorDescriptor = 2;

    private readonly HostStream? output;
    private readonly bool isBar;
    private int shown = -1;
    private bool isOver;

    /// <summary>Makes one.</summary>
    /// <param name="descriptor">Where the lines go; null for a bar. What cannot be written there is dropped.</param>
    public CopyProgressText(int? descriptor)
    {
        isBar = descriptor is null;
        output = Open(descriptor ?? StandardErrorDescriptor);
    }

    /// <inheritdoc/>
    public void Report(CopyProgress value)
    {
        // The last percent is for the end: what is copied is not complete before everything is closed.
        var percent = Math.Min((int)(value.Fraction * 100), 99);
        if (percent > shown || shown < 0)
        {
            Show(percent);
        }
    }

    /// <summary>Everything is done.</summary>
    public void Finish()
    {
        isOver = true;
        Show(100);
        if (isBar)
        {
            Write("\n");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (isBar && shown >= 0 && !isOver)
        {
            Write("\n"); // what went wrong is told on a line of its own
        }

        output?.Dispose();
    }

    private static HostStream? Open(int descriptor)
    {
        try
        {
            // Only what the program was given: another number may be that of the file that is written.
            return HostStream.OfDescriptor(descriptor, "progress");
        }
        catch (BlockException)
        {
            return null; // nbdcopy copies without it, too
        }
    }

    private void Show(int percent)
    {
        shown = percent;
        Write(isBar
            ? string.Create(CultureInfo.InvariantCulture, $"\r{percent,3}% [{Bar(percent)}]")
            : string.Create(CultureInfo.InvariantCulture, $"{percent}/100\n"));
    }

    private static string Bar(int percent)
    {
        var full = percent * BarWidth / 100;
        return new string('*', full) + new string('-', BarWidth - full);
    }

    private void Write(string text)
    {
        try
        {
            output?.Write(Encoding.ASCII.GetBytes(text));
        }
        catch (BlockException)
        {
            // Whoever wanted to know is gone.
        }
    }
}
