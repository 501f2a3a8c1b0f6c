using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Client;
using Byre.Nbd.Client.Extents;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdDump;

/// <summary>nbddump: the bytes of an export as hexadecimal numbers.</summary>
internal static class NbdDumpCommand
{
    private const int Chunk = 256 << 10;

    private static readonly ImgSpec[] Specs =
    [
        new("help", '\0'), new("version", 'V'), new("length", 'n', ImgValue.Required), new("limit", '\0', ImgValue.Required),
        new("color", '\0'), new("colour", '\0'), new("no-color", '\0'), new("no-colour", '\0'),
    ];

    /// <summary>Runs it.</summary>
    /// <param name="words">What follows the program's name.</param>
    /// <param name="program">The program's name in errors and the help.</param>
    public static Task<int> RunAsync(IReadOnlyList<string> words, string program) => NbdToolProgram.RunAsync(program, async output =>
    {
        var parsed = NbdToolWords.Parse(words, Specs);
        if (parsed.Options.Has("help"))
        {
            output.Write(Help(program));
            return 0;
        }

        if (parsed.Options.Has("version"))
        {
            output.Write($"nbddump 1.14.2 (Byre {Product.Version})\n");
            return 0;
        }

        var limit = (parsed.Options.Value("length") ?? parsed.Options.Value("limit")) is { } text ? ImgSize.Parse(text, "length") : long.MaxValue;
        var target = parsed.Target();
        var connection = await target.ConnectAsync(o => o with { MetaContexts = [NbdContextNames.BaseAllocation] }).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            await DumpAsync(connection.Client, output, Paint.For(parsed.Options), limit).ConfigureAwait(false);
        }

        return 0;
    });

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
            if (extents is not null && writer.RepeatsZeroes)
            {
                // What reads as zeroes behind a line of zeroes is passed over, but for the disk's last line.
                var extent = await extents.AtAsync(at, size).ConfigureAwait(false);
                var skipped = extent.Zero ? (Math.Min(extent.End, size - 1) - at) / block * block : 0;
                if (skipped > 0)
                {
                    writer.Repeat(skipped);
                    at += skipped;
                    continue;
                }
            }

            // Whole lines, even where less is wanted: a line is compared as a whole.
            var n = (int)Math.Min(buffer.Length, Math.Min(size - at, (end - at + block - 1) / block * block));
            await client.ReadAsync(at, buffer.AsMemory(0, n)).ConfigureAwait(false);
            for (var i = 0; i < n && at + i < end; i += DumpWriter.Width)
            {
                var length = Math.Min(DumpWriter.Width, n - i);
                writer.Line(buffer.AsSpan(i, length), (int)Math.Min(length, end - at - i));
            }

            at += n;
        }
    }

    private static string Help(string program) => $"""
        usage: {program} [--length=BYTES] SERVER

        SERVER is a URI (nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, nbds://...),
        or a command that serves with systemd's socket activation: [ COMMAND ARGUMENTS ... ]

          -n, --length=BYTES  print so many bytes at most (units as 64K, 1M)
          --color, --no-color (or --colour, --no-colour)
          -V, --version
          --help

        """;
}
