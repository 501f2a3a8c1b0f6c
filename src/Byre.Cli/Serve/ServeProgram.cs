using System.Runtime.InteropServices;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Nodes;

namespace Byre.Cli.Serve;

/// <summary>The NBD server on the process's own streams and signals.</summary>
internal static class ServeProgram
{
    /// <summary>Runs it.</summary>
    /// <param name="words">What follows the applet's name.</param>
    /// <param name="program">The program's name in errors: "qemu-nbd" or "byre serve".</param>
    public static async Task<int> RunAsync(IReadOnlyList<string> words, string program)
    {
        using var background = BackgroundServer.Current();
        program = background?.Program ?? program;
        using var messages = new ServeMessages(program);
        using var objects = new ObjectStore();
        try
        {
            var options = ServeOptions.Parse(words);
            if (options.WantsVersion || options.WantsTraceNames)
            {
                Console.Out.Write(options.WantsVersion ? ServeHelp.Version(program) : "");
                return 0;
            }

            if (options.IsForked && background is null)
            {
                return await BackgroundServer.StartAsync(words, program).ConfigureAwait(false);
            }

            if (options.Disconnect is { } device)
            {
                KernelDevice.Disconnect(device);
                return 0;
            }

            if (options.Device is { } connected)
            {
                throw KernelDevice.Connect(connected);
            }

            ImgObjects.Load(options.Objects, objects);
            return options.IsList
                ? await ServerListing.RunAsync(options, objects, Console.Out).ConfigureAwait(false)
                : await ServeAsync(options, objects, messages, background).ConfigureAwait(false);
        }
        catch (ImgHelpWanted)
        {
            Console.Out.Write(ServeHelp.Text(program));
            return 0;
        }
        catch (ImgUsageException e)
        {
            messages.Tell($"{e.Message} (see '{program} --help')");
            return 1;
        }
        catch (Exception e) when (e is ImgFailure or BlockException or IOException or UnauthorizedAccessException)
        {
            messages.Tell(e.Message);
            return 1;
        }
    }

    private static async Task<int> ServeAsync(ServeOptions options, ObjectStore objects, ServeMessages messages, BackgroundServer? background)
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            asked.TrySetResult();
        }

        Signals.Heed(1, 2, 15); // also where a shell has the keyboard's signals ignored
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        var run = new ServeRun(options, objects, messages.Tell);
        return await run.RunAsync(asked.Task, () => background?.Ready(options.IsVerbose)).ConfigureAwait(false);
    }
}
