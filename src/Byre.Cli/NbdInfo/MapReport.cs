using System.Globalization;
using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Cli.NbdInfo;

/// <summary>Prints a metadata context of an export: its extents, or how many bytes have which flags.</summary>
/// <param name="output">Where it goes.</param>
/// <param name="words">The flags in words.</param>
/// <param name="paint">Colours.</param>
/// <param name="isJson">As JSON.</param>
internal sealed class MapReport(IoStdout output, MapWords words, Paint paint, bool isJson)
{
    // A server that tells of more different flags than this has no map to add up.
    private const int MostTotals = 1 << 20;

    /// <summary>Prints the extents, neighbours with the same flags joined.</summary>
    /// <param name="client">A connection for which the context alone is selected.</param>
    public async Task ListAsync(NbdClient client)
    {
        var (start, end, type, isFirst) = (0L, 0L, 0ul, true);
        await new StatusWalk(client).RunAsync((length, flags) =>
        {
            if (flags != type && end > start)
            {
                Print();
                start = end;
            }

            (type, end) = (flags, end + length);
        }).ConfigureAwait(false);
        if (end > start)
        {
            Print();
        }

        output.Write(!isJson ? "" : isFirst ? "[\n\n]\n" : "\n]\n");

        void Print()
        {
            var text = words.Of(type);
            if (isJson)
            {
                output.Write($"{(isFirst ? "[\n" : ",\n")}{{ \"offset\": {start}, \"length\": {end - start}, \"type\": {type}{JsonWords(text)}}}");
            }
            else
            {
                var colour = words.ColourOf(type);
                output.Write(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{colour}{start,10}  {end - start,10}  {type,3}{(text is null ? "" : "  " + PlainText.LineOf(text))}{(colour.Length > 0 ? paint.Reset : "")}\n"));
            }

            isFirst = false;
        }
    }

    /// <summary>Prints the sum of the lengths for each kind of flags.</summary>
    /// <param name="client">A connection for which the context alone is selected.</param>
    public async Task TotalAsync(NbdClient client)
    {
        var totals = new SortedDictionary<ulong, long>();
        await new StatusWalk(client).RunAsync((length, flags) =>
        {
            totals[flags] = totals.GetValueOrDefault(flags) + length;
            if (totals.Count > MostTotals)
            {
                throw new BlockException(ErrorCode.TooLarge, $"the map has more than {MostTotals} different kinds of extents");
            }
        }).ConfigureAwait(false);
        var isFirst = true;
        output.Write(isJson ? "[" : "");
        foreach (var (type, size) in totals)
        {
            var text = words.Of(type);
            var percent = 100.0 * size / client.Size;
            if (isJson)
            {
                output.Write($"{(isFirst ? "\n" : ",\n")}{{ \"size\": {size}, \"percent\": {CNumber.SixDigits(percent)}, \"type\": {type}{JsonWords(text)} }}");
            }
            else
            {
                var colour = words.ColourOf(type);
                output.Write(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{colour}{size,10} {CNumber.OneDecimal(percent),5}% {type,3}{(text is null ? "" : " " + PlainText.LineOf(text))}{(colour.Length > 0 ? paint.Reset : "")}\n"));
            }

            isFirst = false;
        }

        output.Write(isJson ? (isFirst ? "]\n" : "\n]\n") : "");
    }

    private static string JsonWords(string? text) => text is null ? "" : $", \"description\": {NbdJson.Quoted(text)}";
}
