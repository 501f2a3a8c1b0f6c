namespace Byre.Cli.Io.Commands;

/// <summary>Commands that need no image: help, quit, sleep, sigraise, abort.</summary>
internal static class SystemCommands
{
    private const int LastSignal = 65;

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("abort", null, "", "ends the program as a crash does", AbortAsync) { MaxWords = 0, NeedsNoImage = true },
        new("help", "?", "[command]", "tells about all commands, or one", HelpAsync) { MaxWords = 1, NeedsNoImage = true },
        new("quit", "q", "", "ends the program", QuitAsync) { NeedsNoImage = true },
        new("sigraise", null, "signal", "sends a signal to the program itself", SigraiseAsync)
        {
            MinWords = 1,
            MaxWords = 1,
            NeedsNoImage = true,
            Help = ["Example: sigraise 15  sends SIGTERM"],
        },
        new("sleep", null, "milliseconds", "waits", SleepAsync) { MinWords = 1, MaxWords = 1, NeedsNoImage = true },
    ];

    private static ValueTask<bool> QuitAsync(IoSession session, IReadOnlyList<string> words)
    {
        session.IsOver = true;
        return new(true);
    }

    private static async ValueTask<bool> SleepAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoNumber.TryParseInteger(words[1], out var milliseconds) || milliseconds < 0)
        {
            return session.Fail($"{words[1]} is not a valid number");
        }

        await session.Requests.SleepAsync(TimeSpan.FromMilliseconds(Math.Min(milliseconds, int.MaxValue - 1))).ConfigureAwait(false);
        return true;
    }

    private static ValueTask<bool> SigraiseAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!RequestShape.TryNumber(session, words[1], out var signal))
        {
            return new(false);
        }

        if (signal > LastSignal)
        {
            return new(session.Fail($"signal argument '{words[1]}' is too large to be a valid signal"));
        }

        session.Output.Flush();
        Signals.Raise((int)signal);
        return new(true);
    }

    private static ValueTask<bool> AbortAsync(IoSession session, IReadOnlyList<string> words)
    {
        Signals.Raise(Signals.Abort);
        return new(true);
    }

    private static ValueTask<bool> HelpAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (words.Count == 1)
        {
            foreach (var command in IoCommandTable.All)
            {
                session.Output.WriteLine(command.UsageLine);
            }

            session.Output.Write("\n'help COMMAND' tells more about one of them.\n");
            return new(true);
        }

        if (IoCommandTable.Find(words[1]) is not { } wanted)
        {
            return new(session.Fail($"command {words[1]} not found"));
        }

        session.Output.WriteLine(wanted.UsageLine);
        if (wanted.Help.Count > 0)
        {
            session.Output.WriteLine("");
            foreach (var line in wanted.Help)
            {
                session.Output.WriteLine(" " + line);
            }

            session.Output.WriteLine("");
        }

        return new(true);
    }
}
