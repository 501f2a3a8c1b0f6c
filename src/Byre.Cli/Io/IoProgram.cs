using Byre.Blockdev;

namespace Byre.Cli.Io;

/// <summary>The applet on the process's own streams.</summary>
internal static class IoProgram
{
    /// <summary>Runs it.</summary>
    /// <param name="args">What follows the applet's name.</param>
    /// <param name="program">The program's name in errors.</param>
    public static async Task<int> RunAsync(IReadOnlyList<string> args, string program)
    {
        using var output = new IoStdout(Console.OpenStandardOutput(), !Console.IsOutputRedirected);
        using var objects = new ObjectStore();
        using var errors = new StandardError();
        var applet = new IoApplet(output, Console.In, errors, program, new IoOpener(errors.WriteLine, objects))
        {
            Objects = objects,
            Mismatch = mismatch =>
            {
                output.Flush();
                errors.WriteLine(mismatch.ToString());
                Environment.Exit(1);
            },
        };
        try
        {
            return await applet.RunAsync(args).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            errors.WriteLine($"{program}: {e.Message}");
            return 1;
        }
    }
}
