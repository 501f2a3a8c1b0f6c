using System.Reflection;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>qemu-io: runs commands that read, write and examine an image.</summary>
internal sealed class IoApplet
{
    private const string Prompt = "qemu-io> ";

    private readonly IoStdout output;
    private readonly TextReader input;
    private readonly TextWriter errors;
    private readonly string program;
    private readonly IIoOpener opener;

    /// <summary>Takes the streams to work on.</summary>
    /// <param name="output">Standard output.</param>
    /// <param name="input">Where commands come from unless they are given by -c.</param>
    /// <param name="errors">Standard error.</param>
    /// <param name="program">The program's name in errors.</param>
    /// <param name="opener">Opens images.</param>
    public IoApplet(IoStdout output, TextReader input, TextWriter errors, string program, IIoOpener opener)
    {
        this.output = output;
        this.input = input;
        this.errors = errors;
        this.program = program;
        this.opener = opener;
    }

    /// <summary>Called, before the request fails, when a blkverify node finds a difference; ends the process in the real program.</summary>
    public Action<BlkverifyMismatch>? Mismatch { get; init; }

    /// <summary>Takes the objects of the command line, which the opener has too.</summary>
    public required ObjectStore Objects { get; init; }

    /// <summary>Runs the applet.</summary>
    /// <returns>The exit status: 1 where any command failed.</returns>
    public async Task<int> RunAsync(IReadOnlyList<string> args)
    {
        var options = IoOptions.Parse(args);
        if (options.Error is { } error)
        {
            errors.WriteLine($"{program}: {error}");
            if (options.ErrorShowsUsage)
            {
                output.Write(IoHelp.Text(program));
            }

            output.Flush();
            return 1;
        }

        if (options.WantsHelp || options.WantsVersion)
        {
            output.Write(options.WantsHelp ? IoHelp.Text(program) : $"{program} version {Version()} (Byre, behaves as qemu-io 10.0)\n");
            output.Flush();
            return 0;
        }

        try
        {
            ImgObjects.Load(options.Objects, Objects);
        }
        catch (Exception e) when (e is ImgFailure or BlockException)
        {
            errors.WriteLine($"{program}: {e.Message}");
            return 1;
        }

        var session = new IoSession(output, errors, program, opener) { ImageOpts = options.ImageOpts, Mismatch = Mismatch };
        bool good;
        try
        {
            good = (options.Files.Count == 0 || await session.OpenAsync(options.Request).ConfigureAwait(false))
                && await RunCommandsAsync(session, options).ConfigureAwait(false);
        }
        finally
        {
            await session.DisposeAsync().ConfigureAwait(false);
            output.Flush();
        }

        if (output.Failure is { } failure)
        {
            errors.WriteLine($"{program}: standard output cannot be written: {failure}");
            good = false;
        }

        return good ? 0 : 1;
    }

    private static string Version() =>
        typeof(IoApplet).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";

    private async Task<bool> RunCommandsAsync(IoSession session, IoOptions options)
    {
        var good = true;
        if (options.Commands.Count > 0)
        {
            foreach (var command in options.Commands)
            {
                good &= await session.ExecuteAsync(command).ConfigureAwait(false);
                if (session.IsOver)
                {
                    break;
                }
            }

            return good;
        }

        while (!session.IsOver)
        {
            output.Write(Prompt);
            output.Flush();
            if (await input.ReadLineAsync().ConfigureAwait(false) is not { } line)
            {
                break;
            }

            good &= await session.ExecuteAsync(line).ConfigureAwait(false);
        }

        return good;
    }
}
