using Byre.Nodes;

namespace Byre.Cli.Io.Commands;

/// <summary>read, readv and aio_read.</summary>
internal static class ReadCommands
{
    private const string ReadLetters = "bCl:pP:qrs:v";
    private const string VectorLetters = "CP:qrv";
    private const string AioLetters = "CiP:qrv";

    private static readonly string[] CommonHelp =
    [
        "-C  report in one line of comma-separated values",
        "-P  check that all bytes are this one",
        "-q  print nothing about a read that works",
        "-r  accepted; buffers are not registered here",
        "-v  print the bytes",
    ];

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("read", "r", "[-bCqrv] [-P pattern [-s off] [-l len]] off len", "reads bytes and may check or show them", ReadAsync)
        {
            MinWords = 2,
            Letters = ReadLetters,
            Help =
            [
                "Example: read -v 512 1k  shows 1 KiB from byte 512 on",
                "-b  read from the saved machine state behind the disk",
                "-l  with -P: check this many bytes",
                "-p  does nothing",
                "-s  with -P: check from this byte of the range on",
                .. CommonHelp,
            ],
        },
        new("readv", null, "[-Cqrv] [-P pattern] off len [len..]", "reads bytes into several buffers", ReadVectorAsync)
        {
            MinWords = 2,
            Letters = VectorLetters,
            Help = ["Example: readv -v 512 1k 1k  shows 2 KiB from byte 512 on", .. CommonHelp],
        },
        new("aio_read", null, "[-Ciqrv] [-P pattern] off len [len..]", "starts reading and returns", AioReadAsync)
        {
            MinWords = 2,
            Letters = AioLetters,
            Help =
            [
                "Example: aio_read -v 512 1k 1k  shows 2 KiB from byte 512 on, later",
                "The result is printed once a command waits, at the latest at aio_flush; the command itself always works.",
                "-i  count a request that is not valid, and send none",
                .. CommonHelp,
            ],
        },
    ];

    private static async ValueTask<bool> ReadAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, ReadLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        long checkLength = 0;
        long checkStart = 0;
        if ((arguments.Value('l') is { } l && !RequestShape.TryNumber(session, l, out checkLength))
            || !RequestShape.TryPattern(session, arguments, out var pattern)
            || (arguments.Value('s') is { } s && !RequestShape.TryNumber(session, s, out checkStart)))
        {
            return false;
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

        if (pattern is null && (arguments.Has('l') || arguments.Has('s')))
        {
            return session.FailUsage(words[0]);
        }

        if (!arguments.Has('l'))
        {
            checkLength = length - checkStart;
        }

        if (checkLength < 0 || checkLength > length - checkStart)
        {
            return session.Fail("the range to check for the pattern goes beyond what is read");
        }

        if (arguments.Has('b') && !VmState.CheckAlignment(session, offset, length))
        {
            return false;
        }

        var buffer = GC.AllocateUninitializedArray<byte>((int)length);
        var edge = session.Open.Edge;
        var (failure, elapsed) = await session.Requests.RunAsync(
            arguments.Has('b') ? () => VmState.ReadAsync(edge, offset, buffer) : () => edge.ReadAsync(offset, buffer)).ConfigureAwait(false);
        if (failure is not null)
        {
            return session.Fail($"read failed: {RequestShape.Describe(failure)}");
        }

        var good = pattern is not { } wanted || RequestShape.Verify(
            session, buffer.AsSpan((int)checkStart, (int)checkLength), wanted, offset + checkStart);
        Print(session, arguments, offset, buffer, elapsed);
        return good;
    }

    private static async ValueTask<bool> ReadVectorAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!TryVector(session, words, VectorLetters, out var arguments, out var pattern)
            || !RequestShape.TryNumber(session, arguments!.Operands[0], out var offset)
            || !RequestShape.TryLengths(session, arguments.Operands.Skip(1), out var length))
        {
            return false;
        }

        var buffer = GC.AllocateUninitializedArray<byte>((int)length);
        var edge = session.Open.Edge;
        var (failure, elapsed) = await session.Requests.RunAsync(() => edge.ReadAsync(offset, buffer)).ConfigureAwait(false);
        if (failure is not null)
        {
            return session.Fail($"readv failed: {RequestShape.Describe(failure)}");
        }

        var good = pattern is not { } wanted || RequestShape.Verify(session, buffer, wanted, offset);
        Print(session, arguments, offset, buffer, elapsed);
        return good;
    }

    private static async ValueTask<bool> AioReadAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!TryVector(session, words, AioLetters, out var arguments, out var pattern))
        {
            return false;
        }

        if (arguments!.Has('i'))
        {
            session.Output.WriteLine("injecting invalid read request");
            return true;
        }

        if (!RequestShape.TryNumber(session, arguments.Operands[0], out var offset)
            || !RequestShape.TryLengths(session, arguments.Operands.Skip(1), out var length))
        {
            return false;
        }

        var buffer = GC.AllocateUninitializedArray<byte>((int)length);
        var edge = session.Open.Edge;
        await session.Requests.StartAsync(() => edge.ReadAsync(offset, buffer), Finished).ConfigureAwait(false);
        return true;

        void Finished(BlockException? failure, TimeSpan elapsed)
        {
            if (failure is not null)
            {
                session.Fail($"readv failed: {RequestShape.Describe(failure)}");
                return;
            }

            if (pattern is { } wanted)
            {
                RequestShape.Verify(session, buffer, wanted, offset);
            }

            Print(session, arguments, offset, buffer, elapsed);
        }
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

    private static void Print(IoSession session, IoArguments arguments, long offset, byte[] data, TimeSpan elapsed)
    {
        if (arguments.Has('q'))
        {
            return;
        }

        if (arguments.Has('v'))
        {
            IoFormat.Dump(session.Output, offset, data);
        }

        session.Output.Write(IoFormat.Report("read", elapsed, offset, data.Length, data.Length, arguments.Has('C')));
    }
}
