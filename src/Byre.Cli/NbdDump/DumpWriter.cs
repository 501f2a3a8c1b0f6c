using System.Globalization;
using System.Text;
using Byre.Cli.Io;
using Byre.Cli.NbdTools;

namespace Byre.Cli.NbdDump;

/// <summary>
/// Prints bytes in lines of 16 as hexadecimal numbers and text. A line that is as the one before is left out, a star stands for
/// all such lines; the last line of the disk is always printed.
/// </summary>
/// <param name="output">Where it goes.</param>
/// <param name="paint">Colours, with which come symbols that are not ASCII.</param>
/// <param name="size">The disk's size in bytes.</param>
internal sealed class DumpWriter(IoStdout output, Paint paint, long size)
{
    /// <summary>Bytes of a line.</summary>
    public const int Width = 16;

    private readonly byte[] last = new byte[Width];
    private readonly byte[] present = new byte[Width];
    private readonly StringBuilder text = new();
    private long at;
    private bool hasLast;
    private bool hasStar;

    /// <summary>The next line of the disk.</summary>
    /// <param name="line">Its bytes; less than <see cref="Width"/> only at the disk's end.</param>
    /// <param name="shown">How many of them are wanted; the others count as zeroes where the line is compared.</param>
    public void Line(ReadOnlySpan<byte> line, int shown)
    {
        line[..shown].CopyTo(present);
        present.AsSpan(shown).Clear();
        var isLast = at + line.Length >= size;
        if (hasLast && !isLast && present.AsSpan().SequenceEqual(last))
        {
            if (!hasStar)
            {
                output.Write(paint.IsOn ? "☆\n" : "*\n");
                hasStar = true;
            }
        }
        else
        {
            Print(line[..shown]);
            hasStar = false;
        }

        hasLast = line.Length == Width;
        present.CopyTo(last, 0);
        at += line.Length;
    }

    /// <summary>Passes over lines that are as the last one, of which none is the disk's last.</summary>
    /// <param name="length">Their bytes; a multiple of <see cref="Width"/>.</param>
    public void Repeat(long length)
    {
        if (!hasStar)
        {
            output.Write(paint.IsOn ? "☆\n" : "*\n");
            hasStar = true;
        }

        at += length;
    }

    /// <summary>The last line was full, and of zeroes: zeroes that follow need not be looked at.</summary>
    public bool RepeatsZeroes => hasLast && !last.AsSpan().ContainsAnyExcept((byte)0);

    private void Print(ReadOnlySpan<byte> line)
    {
        var (bar, dot) = paint.IsOn ? ("│", "·") : ("|", ".");
        text.Clear().Append(paint.Green).Append(CultureInfo.InvariantCulture, $"{at:x10}").Append(paint.Grey).Append(": ");
        for (var i = 0; i < line.Length; i++)
        {
            text.Append(line[i] == 0 ? paint.Grey : paint.BoldBlue).Append(CultureInfo.InvariantCulture, $"{line[i]:x2} ").Append(i == 7 ? " " : "");
        }

        text.Append(paint.Grey).Append(' ', (3 * (Width - line.Length)) + (line.Length < 8 ? 1 : 0)).Append(bar);
        foreach (var b in line)
        {
            if (b is < 0x20 or > 0x7e)
            {
                text.Append(paint.Grey).Append(dot);
            }
            else
            {
                text.Append(char.IsAsciiLetterOrDigit((char)b) ? paint.BoldRed : paint.BoldMagenta).Append((char)b);
            }
        }

        if (line.Length < Width || paint.IsOn)
        {
            text.Append(paint.Grey).Append(' ', Width - line.Length);
        }

        output.Write(text.Append(bar).Append('\n').Append(paint.Reset).ToString());
    }
}
