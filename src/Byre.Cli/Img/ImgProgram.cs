using System.Runtime.InteropServices;
using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>The image tool on the process's own streams and signals.</summary>
internal static class ImgProgram
{
    private const int SignalStatus = 128;

    /// <summary>Runs a verb.</summary>
    /// <param name="verb">The verb.</param>
    /// <param name="words">What follows it.</param>
    /// <param name="program">The program's name in errors.</param>
    public static async Task<int> RunAsync(ImgVerb verb, IReadOnlyList<string> words, string program)
    {
        using var output = verb.OnlyReads ? IoStdout.OfPrinter() : new IoStdout(Console.OpenStandardOutput(), !Console.IsOutputRedirected);
        using var stopping = new CancellationTokenSource();
        var context = new ImgContext(output, () => new StandardError(), program) { Stopping = stopping.Token };
        var stopped = 0;
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            var number = signal.Signal switch { PosixSignal.SIGINT => 2, PosixSignal.SIGTERM => 15, _ => 1 };
            if (Interlocked.Exchange(ref stopped, number) == 0)
            {
                // Verbs that can end at once do; those that sit in a long request are ended here, without what they began.
                stopping.Cancel();
                _ = Task.Delay(1000, CancellationToken.None).ContinueWith(_ => End(), TaskScheduler.Default);
            }
            else
            {
                End();
            }

            void End()
            {
                context.Interrupted(verb.Name);
                context.Targets.RemoveAll(); // last: a request that is still running may write
                Signals.Raise(number);
            }
        }

        if (verb.OnlyReads)
        {
            using var tidyEnd = new TidyEnd();
            return await ImgApplet.RunAsync(context, verb, words).ConfigureAwait(false);
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        var status = await ImgApplet.RunAsync(context, verb, words).ConfigureAwait(false);
        if (Volatile.Read(ref stopped) is > 0 and var signalled)
        {
            // Everything is cleaned up: ends as the signal asks, so that a shell that runs a script sees it and stops too.
            Signals.Raise(signalled);
            return SignalStatus + signalled;
        }

        return status;
    }
}
