using System.Runtime.InteropServices;
using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Nodes;

namespace Byre.Cli.Copy;

/// <summary>"byre copy", and nbdcopy: on the process's own streams and signals.</summary>
internal static class CopyProgram
{
    /// <summary>EPIPE.</summary>
    public const int BrokenPipe = 32;

    private const int SignalStatus = 128;
    private const string Peer = "nbdcopy 1.14.2";

    /// <summary>Runs it.</summary>
    /// <param name="words">The command line's words, without the program's.</param>
    /// <param name="program">The program's name: "byre copy" or "nbdcopy".</param>
    /// <returns>The exit status: 0 where everything is copied, else 1.</returns>
    public static async Task<int> RunAsync(IReadOnlyList<string> words, string program)
    {
        using var output = new IoStdout(Console.OpenStandardOutput(), !Console.IsOutputRedirected);
        using var stopping = new CancellationTokenSource();
        var context = new ImgContext(output, () => new StandardError(), program) { Stopping = stopping.Token };
        var servers = new CopyServers();
        var signal = 0;
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        try
        {
            var arguments = CopyRequest.Split(words);
            if (Answer(arguments, program) is { } answer)
            {
                output.Write(answer);
                return 0;
            }

            var request = CopyRequest.Of(arguments);
            var status = await CopyAsync(request, context, servers).ConfigureAwait(false);
            signal = Volatile.Read(ref signal) is > 0 and var received ? received : status > SignalStatus ? status - SignalStatus : 0;
            if (signal > 0)
            {
                // Everything is cleaned up: ends as the signal asks, so that a shell that runs a script sees it and stops too.
                Signals.Raise(signal);
                return SignalStatus + signal;
            }

            return status;
        }
        catch (ImgUsageException e)
        {
            context.Error($"{e.Message} (see '{program} --help')");
            return 1;
        }
        catch (ImgFailure e)
        {
            context.Error(e.Message);
            return 1;
        }
        finally
        {
            context.Objects.Dispose();
        }

        void Stop(PosixSignalContext received)
        {
            received.Cancel = true;
            var number = received.Signal switch { PosixSignal.SIGINT => 2, PosixSignal.SIGTERM => 15, _ => 1 };
            if (Interlocked.CompareExchange(ref signal, number, 0) == 0)
            {
                // Most copies end at once; one that sits in a long request is ended here.
                stopping.Cancel();
                _ = Task.Delay(1000, CancellationToken.None).ContinueWith(_ => End(), TaskScheduler.Default);
            }
            else
            {
                End();
            }

            void End()
            {
                context.Interrupted("copy");
                servers.StopAll();
                context.Targets.RemoveAll();
                Signals.Raise(number);
            }
        }
    }

    private static async ValueTask<int> CopyAsync(CopyRequest request, ImgContext context, CopyServers servers)
    {
        var status = 1;
        try
        {
            await new CopyCommand(request, context, servers).RunAsync().ConfigureAwait(false);
            status = 0;
        }
        catch (BrokenPipeException)
        {
            status = SignalStatus + Signals.BrokenPipe;
        }
        catch (OperationCanceledException)
        {
            context.Interrupted("copy");
        }
        catch (Exception e) when (e is ImgFailure or BlockException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            context.Error(e.Message.ReplaceLineEndings(" "));
        }
        finally
        {
            context.Targets.RemoveAll();
        }

        try
        {
            await servers.DisposeAsync().ConfigureAwait(false);
        }
        catch (IOException e)
        {
            context.Error(e.Message);
            status = Math.Max(status, 1);
        }

        return status;
    }

    /// <summary>What is told without a copy; null where there is to be one.</summary>
    private static string? Answer(ImgArguments arguments, string program) =>
        arguments.Has("help") ? $"Usage: {program} {CopyRequest.Usage}"
        : arguments.Has("version") ? $"{Peer} (Byre {Product.Version})\n"
        : arguments.Has("short-options") ? string.Concat(CopyRequest.OptionNames(isLong: false).Select(n => n + "\n"))
        : arguments.Has("long-options") ? string.Concat(CopyRequest.OptionNames(isLong: true).Select(n => n + "\n"))
        : null;
}
