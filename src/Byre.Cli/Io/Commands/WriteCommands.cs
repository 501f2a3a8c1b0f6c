using Byre.Nodes;

namespace Byre.Cli.Io.Commands;

/// <summary>write, writev and aio_write.</summary>
internal static class WriteCommands
{
    private const string WriteLetters = "bcCfnpP:qrs:uz";
    private const string VectorLetters = "CfP:qr";
    private const string AioLetters = "CfiP:qruz";

    private static readonly string[] CommonHelp =
    [
        "-C  report in one line of comma-separated values",
        "-f  the data is on stable storage when the write ends",
        "-P  fill with this byte instead of 0xcd",
        "-q  print nothing about a write that works",
        "-r  accepted; buffers are not registered here",
    ];

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("write", "w", "[-bcCfnqruz] [-P pattern | -s source_file] off len", "writes bytes", WriteAsync)
        {
            MinWords = 2,
            Writes = true,
            Letters = WriteLetters,
            Help =
            [
                "Example: write -P 7 512 1k  writes 1 KiB of sevens from byte 512 on",
                "-b  write to the saved machine state behind the disk",
                "-c  store compressed",
                "-n  with -z: fail where zeroes would have to be written as data",
                "-p  does nothing",
                "-s  fill with the content of a file, again and again",
                "-u  with -z: space may be given back",
                "-z  write zeroes in the cheapest way",
                .. CommonHelp,
            ],
        },
        new("writev", null, "[-Cfqr] [-P pattern] off len [len..]", "writes bytes from several buffers", WriteVectorAsync)
        {
            MinWords = 2,
            Writes = true,
            Letters = VectorLetters,
            Help = ["Example: writev 512 1k 1k  writes 2 KiB from byte 512 on", .. CommonHelp],
        },
        new("aio_write", null, "[-Cfiqruz] [-P pattern] off len [len..]", "starts writing and returns", AioWriteAsync)
        {
            MinWords = 2,
            Writes = true,
            Letters = AioLetters,
            Help =
            [
                "Example: aio_write 512 1k 1k  writes 2 KiB from byte 512 on, later",
                "The result is printed once a command waits, at the latest at aio_flush; the command itself always works.",
                "-i  count a request that is not valid, and send none",
                "-u  with -z: space may be given back",
                "-z  write zeroes in the cheapest way",
                .. CommonHelp,
            ],
        },
    ];

    private static async ValueTask<bool> WriteAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, WriteLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        if (!RequestShape.TryPattern(session, arguments, out var pattern))
        {
            return false;
        }

        if (arguments.Operands.Count != 2)
        {
            return session.FailUsage(words[0]);
        }

        if (Contradiction(arguments) is { } contradiction)
        {
            return session.Fail(contradiction);
        }

        if (!RequestShape.TryNumber(session, arguments.Operands[0], out var offset)
            || !RequestShape.TryLength(session, arguments.Operands[1], out var length)
            || (arguments.Has('b') && !VmState.CheckAlignment(session, offset, length)))
        {
            return false;
        }

        var image = session.Open;
        Func<ValueTask> request;
        if (arguments.Has('z'))
        {
            request = Zero(image, arguments, offset, length);
        }
        else
        {
            byte[] data;
            if (arguments.Value('s') is not { } file)
            {
                data = RequestShape.Filled(length, pattern ?? RequestShape.DefaultPattern);
            }
            else if (PatternFile.TryFill(session, file, length) is { } filled)
            {
                data = filled;
            }
            else
            {
                return false;
            }

            request = arguments.Has('b') ? () => VmState.WriteAsync(image.Edge, offset, data)
                : arguments.Has('c') ? () => image.WriteAsync(offset, data, WriteFlags.Compressed)
                : Plain(image, arguments, offset, data);
        }

        var (failure, elapsed) = await session.Requests.RunAsync(request).ConfigureAwait(false);
        return Finish(session, arguments, "write", offset, length, failure, elapsed);
    }

    private static async ValueTask<bool> WriteVectorAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!TryVector(session, words, VectorLetters, out var arguments, out var pattern)
            || !RequestShape.TryNumber(session, arguments!.Operands[0], out var offset)
            || !RequestShape.TryLengths(session, arguments.Operands.Skip(1), out var length))
        {
            return false;
        }

        var data = RequestShape.Filled(length, pattern ?? RequestShape.DefaultPattern);
        var (failure, elapsed) = await session.Requests.RunAsync(Plain(session.Open, arguments, offset, data)).ConfigureAwait(false);
        return Finish(session, arguments, "writev", offset, length, failure, elapsed);
    }

    private static async ValueTask<bool> AioWriteAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!TryVector(session, words, AioLetters, out var arguments, out var pattern))
        {
            return false;
        }

        if (arguments!.Has('z') && arguments.Operands.Count != 2)
        {
            return session.Fail("-z supports only a single length parameter");
        }

        if (arguments.Has('u') && !arguments.Has('z'))
        {
            return session.Fail("-u requires -z to be specified");
        }

        if (!RequestShape.TryNumber(session, arguments.Operands[0], out var offset))
        {
            return false;
        }

        if (arguments.Has('i'))
        {
            session.Output.WriteLine("injecting invalid write request");
            return true;
        }

        long length;
        Func<ValueTask> request;
        if (arguments.Has('z'))
        {
            if (!RequestShape.TryNumber(session, arguments.Operands[1], out length))
            {
                return false;
            }

            request = Zero(session.Open, arguments, offset, length);
        }
        else
        {
            if (!RequestShape.TryLengths(session, arguments.Operands.Skip(1), out length))
            {
                return false;
            }

            request = Plain(session.Open, arguments, offset, RequestShape.Filled(length, pattern ?? RequestShape.DefaultPattern));
        }

        await session.Requests.StartAsync(
            request,
            (failure, elapsed) => Finish(session, arguments, "aio_write", offset, length, failure, elapsed)).ConfigureAwait(false);
        return true;
    }

    private static string? Contradiction(IoArguments arguments)
    {
        var zero = arguments.Has('z');
        return arguments.Has('b') && zero ? "-b and -z cannot be specified at the same time"
            : arguments.Has('f') && (arguments.Has('b') || arguments.Has('c')) ? "-f and -b or -c cannot be specified at the same time"
            : arguments.Has('n') && !zero ? "-n requires -z to be specified"
            : arguments.Has('u') && !zero ? "-u requires -z to be specified"
            : (zero ? 1 : 0) + (arguments.Has('P') ? 1 : 0) + (arguments.Has('s') ? 1 : 0) > 1
                ? "Only one of -z, -P, and -s can be specified at the same time"
            : null;
    }

    private static bool TryVector(
        IoSession session, IReadOnlyList<string> words, string letters, out IoArguments? arguments, out byte? pattern)
    {
        pattern = null;
        if (!IoArguments.TryParse(words, letters, out arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        return RequestShape.TryPattern(session, arguments, out pattern)
            && (arguments.Operands.Count >= 2 || session.FailUsage(words[0]));
    }

    private static Func<ValueTask> Plain(IoImage image, IoArguments arguments, long offset, byte[] data)
    {
        var flags = arguments.Has('f') ? WriteFlags.Fua : WriteFlags.None;
        return () => image.WriteAsync(offset, data, flags);
    }

    private static Func<ValueTask> Zero(IoImage image, IoArguments arguments, long offset, long length)
    {
        var flags = (arguments.Has('f') ? WriteFlags.Fua : WriteFlags.None)
            | (arguments.Has('u') ? WriteFlags.MayUnmap : WriteFlags.None)
            | (arguments.Has('n') ? WriteFlags.NoFallback : WriteFlags.None);
        return () => image.WriteZeroesAsync(offset, length, flags);
    }

    private static bool Finish(
        IoSession session, IoArguments arguments, string command, long offset, long length, BlockException? failure, TimeSpan elapsed)
    {
        if (failure is not null)
        {
            return session.Fail($"{command} failed: {RequestShape.Describe(failure)}");
        }

        if (!arguments.Has('q'))
        {
            session.Output.Write(IoFormat.Report("wrote", elapsed, offset, length, length, arguments.Has('C')));
        }

        return true;
    }
}
