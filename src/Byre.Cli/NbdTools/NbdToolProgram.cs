using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Nodes;

namespace Byre.Cli.NbdTools;

/// <summary>Runs a tool on the process's own streams: what goes wrong becomes one line and status 1.</summary>
internal static class NbdToolProgram
{
    private const int Failed = 1;

    /// <summary>Runs it.</summary>
    /// <param name="name">The program's name in errors.</param>
    /// <param name="body">The tool; gives the exit status.</param>
    public static async Task<int> RunAsync(string name, Func<IoStdout, Task<int>> body)
    {
        using var output = new IoStdout(Console.OpenStandardOutput(), !Console.IsOutputRedirected);
        string line;
        try
        {
            var status = await body(output).ConfigureAwait(false);
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
}
