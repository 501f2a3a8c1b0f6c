using Byre.Nodes;

namespace Byre.Cli.Io.Commands;

/// <summary>Commands about the image as a whole, or ranges of it: discard, truncate, flush, length, map, alloc, info, aio_flush.</summary>
internal static class ImageCommands
{
    private const string DiscardLetters = "Cq";
    private const string TruncateLetters = "m:";

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("aio_flush", null, "", "waits for all requests that were started", AioFlushAsync) { MaxWords = 0 },
        new("alloc", "a", "offset [count]", "tells how much of a range is allocated in this layer", AllocAsync)
        {
            MinWords = 1,
            MaxWords = 2,
        },
        new("discard", "d", "[-Cq] off len", "gives space back", DiscardAsync)
        {
            MinWords = 2,
            Writes = true,
            Letters = DiscardLetters,
            Help =
            [
                "Example: discard 512 1k  gives 1 KiB from byte 512 on back",
                "-C  report in one line of comma-separated values",
                "-q  print nothing about a discard that works",
            ],
        },
        new("flush", "f", "", "brings all writes to stable storage", FlushAsync) { MaxWords = 0 },
        new("info", "i", "", "tells about the image", InfoAsync) { MaxWords = 0 },
        new("length", "l", "", "tells the length", LengthAsync) { MaxWords = 0 },
        new("map", null, "", "lists what is allocated in this layer", MapAsync) { MaxWords = 0 },
        new("truncate", "t", "[-m prealloc_mode] off", "changes the length", TruncateAsync)
        {
            MinWords = 1,
            MaxWords = 3,
            Writes = true,
            Letters = TruncateLetters,
            Help = ["-m  what to allocate of a grown range: off, metadata, falloc or full"],
        },
    ];

    private static async ValueTask<bool> AioFlushAsync(IoSession session, IReadOnlyList<string> words)
    {
        await session.Requests.DrainAsync().ConfigureAwait(false);
        return true;
    }

    private static async ValueTask<bool> FlushAsync(IoSession session, IReadOnlyList<string> words)
    {
        var edge = session.Open.Edge;
        var (failure, _) = await session.Requests.RunAsync(edge.FlushAsync).ConfigureAwait(false);
        return failure is null;
    }

    private static ValueTask<bool> LengthAsync(IoSession session, IReadOnlyList<string> words)
    {
        session.Output.WriteLine(IoFormat.Size(session.Open.Edge.Length));
        return new(true);
    }

    private static async ValueTask<bool> DiscardAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, DiscardLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        if (arguments.Operands.Count != 2)
        {
            return session.FailUsage(words[0]);
        }

        if (!RequestShape.TryNumber(session, arguments.Operands[0], out var offset)
            || !RequestShape.TryLength(session, arguments.Operands[1], out var length))
        {
            return false;
        }

        var edge = session.Open.Edge;
        var (failure, elapsed) = await session.Requests.RunAsync(() => edge.DiscardAsync(offset, length)).ConfigureAwait(false);
        if (failure is not null)
        {
            return session.Fail($"discard failed: {RequestShape.Describe(failure)}");
        }

        if (!arguments.Has('q'))
        {
            session.Output.Write(IoFormat.Report("discard", elapsed, offset, length, length, arguments.Has('C')));
        }

        return true;
    }

    private static async ValueTask<bool> TruncateAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, TruncateLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        if (arguments.Value('m') is not { } mode)
        {
            mode = "off";
        }

        if (!TryPreallocation(mode, out var preallocation))
        {
            session.Error($"'{mode}' is not a preallocation mode (off, metadata, falloc, full)");
            return false;
        }

        if (arguments.Operands.Count == 0)
        {
            return session.FailUsage(words[0]);
        }

        if (!RequestShape.TryNumber(session, arguments.Operands[0], out var length))
        {
            return false;
        }

        var edge = session.Open.Edge;
        var (failure, _) = await session.Requests.RunAsync(() => edge.ResizeAsync(length, preallocation)).ConfigureAwait(false);
        if (failure is not null)
        {
            session.Error(failure.Message);
        }

        return failure is null;
    }

    private static bool TryPreallocation(string name, out Preallocation preallocation)
    {
        Preallocation? found = name switch
        {
            "off" => Preallocation.Off,
            "metadata" => Preallocation.Metadata,
            "falloc" => Preallocation.Falloc,
            "full" => Preallocation.Full,
            _ => null,
        };
        preallocation = found ?? Preallocation.Off;
        return found is not null;
    }

    private static async ValueTask<bool> MapAsync(IoSession session, IReadOnlyList<string> words)
    {
        var edge = session.Open.Edge;
        session.Requests.Dispatch();
        long start = 0;
        bool? allocated = null;
        try
        {
            await foreach (var (from, _, isAllocated) in AllocationRuns.ReadAsync(edge, 0, edge.Length).ConfigureAwait(false))
            {
                if (allocated is { } previous && previous != isAllocated)
                {
                    Print(start, from, previous);
                    start = from;
                }

                allocated = isAllocated;
            }
        }
        catch (BlockException e)
        {
            session.Error($"Cannot tell what is allocated: {RequestShape.Describe(e)}");
            return false;
        }

        if (allocated is { } last)
        {
            Print(start, edge.Length, last);
        }

        return true;

        void Print(long from, long to, bool isAllocated) => session.Output.WriteLine(
            $"{IoFormat.Size(to - from)} (0x{to - from:x}) bytes {(isAllocated ? "    allocated" : "not allocated")} at offset {IoFormat.Size(from)} (0x{from:x})");
    }

    private static async ValueTask<bool> AllocAsync(IoSession session, IReadOnlyList<string> words)
    {
        long length = 512;
        if (!RequestShape.TryNumber(session, words[1], out var offset)
            || (words.Count > 2 && !RequestShape.TryNumber(session, words[2], out length)))
        {
            return false;
        }

        var edge = session.Open.Edge;
        length = Math.Max(0, Math.Min(length, edge.Length - offset));
        session.Requests.Dispatch();
        long sum = 0;
        try
        {
            await foreach (var (from, to, isAllocated) in AllocationRuns.ReadAsync(edge, offset, length).ConfigureAwait(false))
            {
                sum += isAllocated ? to - from : 0;
            }
        }
        catch (BlockException e)
        {
            return session.Fail($"is_allocated failed: {RequestShape.Describe(e)}");
        }

        session.Output.WriteLine($"{sum}/{length} bytes allocated at offset {IoFormat.Size(offset)}");
        return true;
    }

    private static async ValueTask<bool> InfoAsync(IoSession session, IReadOnlyList<string> words)
    {
        session.Requests.Dispatch();
        return await IoInfo.PrintAsync(session.Output, session.Open.Edge.Node).ConfigureAwait(false);
    }
}
