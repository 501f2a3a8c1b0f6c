using Byre.Filters;

namespace Byre.Cli.Io.Commands;

/// <summary>Breakpoints of the blkdebug driver: break, remove_break, resume, wait_break.</summary>
internal static class BreakCommands
{
    private const string NoDriver = "Operation not supported";
    private const string NoSuch = "No such file or directory";

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("break", null, "event tag", "stops the next request that comes to an event, and calls it tag", BreakAsync)
        {
            MinWords = 2,
            MaxWords = 2,
        },
        new("remove_break", null, "tag", "forgets a breakpoint", RemoveAsync) { MinWords = 1, MaxWords = 1 },
        new("resume", null, "tag", "lets the request go that stands at a breakpoint", ResumeAsync) { MinWords = 1, MaxWords = 1 },
        new("wait_break", null, "tag", "waits until a request stands at a breakpoint", WaitAsync) { MinWords = 1, MaxWords = 1 },
    ];

    private static ValueTask<bool> BreakAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (session.Open.Blkdebug is not { } debug)
        {
            return new(session.Fail($"Could not set breakpoint: {NoDriver}"));
        }

        if (!BlkdebugNames.TryParse(words[1], out var at))
        {
            return new(session.Fail($"Could not set breakpoint: {NoSuch}"));
        }

        debug.AddBreakpoint(at, words[2]);
        return new(true);
    }

    private static ValueTask<bool> RemoveAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (session.Open.Blkdebug is not { } debug)
        {
            return new(session.Fail($"Could not remove breakpoint {words[1]}: {NoDriver}"));
        }

        for (var n = debug.CountSuspended(words[1]); n > 0; n--)
        {
            session.Output.WriteLine($"blkdebug: Resuming request '{words[1]}'");
        }

        return new(debug.RemoveBreakpoint(words[1]) || session.Fail($"Could not remove breakpoint {words[1]}: {NoSuch}"));
    }

    private static ValueTask<bool> ResumeAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (session.Open.Blkdebug is not { } debug)
        {
            return new(session.Fail($"Could not resume request: {NoDriver}"));
        }

        if (!debug.IsSuspended(words[1]))
        {
            return new(session.Fail($"Could not resume request: {NoSuch}"));
        }

        session.Output.WriteLine($"blkdebug: Resuming request '{words[1]}'");
        return new(debug.Resume(words[1]));
    }

    private static async ValueTask<bool> WaitAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (session.Open.Blkdebug is not { } debug)
        {
            return session.Fail($"Could not wait for a request: {NoDriver}");
        }

        await session.Requests.WaitForStopAsync(debug, words[1]).ConfigureAwait(false);
        return true;
    }
}
