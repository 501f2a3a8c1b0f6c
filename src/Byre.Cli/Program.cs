using Byre.Cli.Io;

namespace Byre.Cli;

internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        var invoked = Path.GetFileName(InvokedName());
        if (string.Equals(invoked, "qemu-io", StringComparison.Ordinal))
        {
            return await IoProgram.RunAsync(args, "qemu-io").ConfigureAwait(false);
        }

        if (args is ["io", ..])
        {
            return await IoProgram.RunAsync(args[1..], "byre io").ConfigureAwait(false);
        }

        await Console.Error.WriteLineAsync(args.Length == 0 ? "byre: name an applet (io)" : $"byre: there is no applet '{args[0]}'").ConfigureAwait(false);
        return 1;
    }

    /// <summary>The name the program was called by; the runtime only tells the name of the program's file.</summary>
    private static string InvokedName()
    {
        try
        {
            return File.ReadAllText("/proc/self/cmdline").Split('\0')[0];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Environment.GetCommandLineArgs()[0];
        }
    }
}
