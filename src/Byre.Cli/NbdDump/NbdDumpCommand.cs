using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Client;
using Byre.Nbd.Client.Extents;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Cli.NbdDump;

/// <summary>nbddump: the bytes of an export as hexadecimal numbers.</summary>
internal static class NbdDumpCommand
{
    private const int Chunk = 256 << 10;

    private static readonly NbdToolProgram Tool = new(
        "nbddump",
        [new("length", 'n', ImgValue.Required), new("limit", '\0', ImgValue.Required)],
        Help,
        RunAsync);

    /// <summary>Runs it.</summary>
    /// <param name="words">What follows the program's name.</param>
    /// <param name="program">The program's name in errors and the help.</param>
    public static Task<int> RunAsync(IReadOnlyList<string> words, string program) => Tool.RunAsync(words, program);

    private static async Task<int> RunAsync(string program, IoStdout output, NbdToolWords parsed)
    {
        var limit = (parsed.Options.Value("length") ?? parsed.Options.Value("limit")) is { } text ? ImgSize.Parse(text, "length") : long.MaxValue;
        var target = parsed.Target();
        var connection = await target.ConnectAsync(o => o with { MetaContexts = [NbdContextNames.BaseAllocation] }).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            await DumpAsync(connection.Client, output, Paint.For(parsed.Options), limit).ConfigureAwait(false);
        }

        return 0;
    }

    private static async Task DumpAsync(NbdClient client, IoStdout output, Paint paint, long limit)
    {
        var size = client.Size;
        var end = Math.Min(size, limit);
        var writer = new DumpWriter(output, paint, size);
        var extents = client.Contexts.Count == 0 ? null : NbdExtentReader.Of(client);
        var block = Math.Max(DumpWriter.Width, (int)(client.BlockSize?.Minimum ?? 1));
        var buffer = new byte[Math.Max(block, Math.Min(Chunk, client.MaxPayload) / block * block)];
        for (var at = 0L; at < end && output.Failure is null;)
        {
            var zeroes = at == 0 || writer.RepeatsZeroes ? await ZeroesAsync(at).ConfigureAwait(false) : 0;
            if (writer.RepeatsZeroes)
            {
                // What reads as zeroes behind a line of zeroes is passed over, but for the disk's last line.
                var skipped = Math.Min(zeroes, (size - 1 - at) / block * block);
                if (skipped > 0)
                {
                    writer.Repeat(skipped);
                    at += skipped;
                    continue;
                }
            }

            // Whole lines, even where less is wanted: a line is compared as a whole.
            var n = (int)Math.Min(buffer.Length, Math.Min(size - at, (end - at + block - 1) / block * block));
            if (zeroes > 0)
            {
                n = (int)Math.Min(n, zeroes);
                buffer.AsSpan(0, n).Clear();
            }
            else
            {
                await client.ReadAsync(at, buffer.AsMemory(0, n)).ConfigureAwait(false);
            }

            for (var i = 0; i < n && at + i < end; i += DumpWriter.Width)
            {
                var length = Math.Min(DumpWriter.Width, n - i);
                writer.Line(buffer.AsSpan(i, length), (int)Math.Min(length, end - at - i));
            }

            at += n;
        }

        // How many bytes, in whole blocks, are known to be zero. A server that cannot say that can be read all the same.
        async ValueTask<long> ZeroesAsync(long at)
        {
            try
            {
                var extent = extents is null ? default : await extents.AtAsync(at, size).ConfigureAwait(false);
                return !extent.Zero ? 0 : extent.End == size ? size - at : (extent.End - at) / block * block;
            }
            catch (BlockException e) when (e.Code is not (ErrorCode.Disconnected or ErrorCode.Corrupt))
            {
                extents = null;
                return 0;
            }
        }
    }

    private static string Help(string program) => $"""
        usage: {program} [--length=BYTES] SERVER

        {NbdToolProgram.ServerHelp}

          -n, --length=BYTES  print so many bytes at most (units as 64K, 1M)
        {NbdToolProgram.OptionHelp}

        """;
}
