using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Nodes;

namespace Byre.Cli.NbdTools;

/// <summary>
/// A tool that looks at an NBD server, on the process's own streams: its options are read, --help and --version answered, and
/// what goes wrong becomes one line and status 1.
/// </summary>
/// <param name="tool">The name of libnbd's tool that it stands in for.</param>
/// <param name="specs">Its own options; those that all tools have are added.</param>
/// <param name="help">The text of --help, for a name that the program is called by.</param>
/// <param name="body">The tool: prints, and gives the exit status.</param>
internal sealed class NbdToolProgram(string tool, ImgSpec[] specs, Func<string, string> help, Func<string, IoStdout, NbdToolWords, Task<int>> body)
{
    /// <summary>The lines of a help on how a server is named.</summary>
    public const string ServerHelp = """
        SERVER is a URI (nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, nbds://...),
        or a command that serves with systemd's socket activation: [ COMMAND ARGUMENTS ... ]
        """;

    /// <summary>The lines of a help on the options that all tools have.</summary>
    public const string OptionHelp = """
          --color, --no-color (or --colour, --no-colour)
          -V, --version
          --help
        """;

    private const int Failed = 1;
    private const string Peer = "1.14.2";

    private readonly ImgSpec[] specs =
    [
        new("help", '\0'), new("version", 'V'), new("color", '\0'), new("colour", '\0'), new("no-color", '\0'), new("no-colour", '\0'), .. specs,
    ];

    /// <summary>Runs it.</summary>
    /// <param name="words">What follows the program's name.</param>
    /// <param name="name">The program's name in errors and the help.</param>
    public async Task<int> RunAsync(IReadOnlyList<string> words, string name)
    {
        using var output = IoStdout.OfPrinter();
        string line;
        try
        {
            var status = await RunAsync(words, name, output).ConfigureAwait(false);
            output.Flush();
            if (output.Failure is null)
            {
                return status;
            }

            line = $"{name}: cannot write to standard output: {output.Failure}";
        }
        catch (ImgUsageException e)
        {
            line = $"{name}: {e.Message} (see '{name} --help')";
        }
        catch (Exception e) when (e is BlockException or ImgFailure or IOException or UnauthorizedAccessException)
        {
            line = $"{name}: {e.Message}";
        }

        output.Flush();
        using var errors = new StandardError();
        errors.WriteLine(line.ReplaceLineEndings(" "));
        return Failed;
    }

    private async Task<int> RunAsync(IReadOnlyList<string> words, string name, IoStdout output)
    {
        var parsed = NbdToolWords.Parse(words, specs);
        if (parsed.Options.Has("help"))
        {
            output.Write(help(name));
            return 0;
        }

        if (parsed.Options.Has("version"))
        {
            output.Write($"{tool} {Peer} (Byre {Product.Version})\n");
            return 0;
        }

        return await body(name, output, parsed).ConfigureAwait(false);
    }
}
