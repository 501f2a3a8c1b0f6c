using System.Diagnostics;

namespace Byre.Interop.Io;

/// <summary>Runs the real qemu-io or `byre io` as processes of their own.</summary>
internal static class IoProgramRun
{
    public static (string Program, string[] Arguments) Peer(params string[] arguments) => ("qemu-io", arguments);

    public static (string Program, string[] Arguments) Ours(params string[] arguments) =>
        (Path.Combine(AppContext.BaseDirectory, "Byre.Cli"), ["io", .. arguments]);

    public static Process Start((string Program, string[] Arguments) what, string folder)
    {
        var start = new ProcessStartInfo(what.Program)
        {
            WorkingDirectory = folder,
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in what.Arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    public static async Task<(int Status, string Output, string Errors)> RunAsync((string Program, string[] Arguments) what, string folder)
    {
        using var process = Start(what, folder);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await errors);
    }

    /// <summary>Starts a program that holds an image open, and returns once it answers.</summary>
    public static async Task<Process> HoldAsync((string Program, string[] Arguments) what, string folder)
    {
        var process = Start(what, folder);
        await process.StandardInput.WriteLineAsync("length");
        await process.StandardInput.FlushAsync();
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.Contains("MiB", StringComparison.Ordinal))
            {
                return process;
            }
        }

        throw new InvalidOperationException($"{what.Program} ended: {await process.StandardError.ReadToEndAsync()}");
    }
}
