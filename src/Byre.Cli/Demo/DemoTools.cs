using System.ComponentModel;
using System.Diagnostics;

namespace Byre.Cli.Demo;

/// <summary>Runs this program's own verbs, and tools of the machine, in the demo's folder.</summary>
internal sealed class DemoTools(string folder, DemoScreen screen, CancellationToken stop)
{
    private const int ShownLines = 14;

    private static readonly string[] SystemFolders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

    /// <summary>The path of a tool of this machine, or null where it has none.</summary>
    public static string? Find(string tool) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Concat(SystemFolders)
            .Where(path => path.Length > 0)
            .Select(path => Path.Combine(path, tool))
            .FirstOrDefault(File.Exists);

    /// <summary>The words that run this program.</summary>
    public static string[] Self
    {
        get
        {
            var program = Environment.ProcessPath ?? throw new DemoException("cannot tell where this program lies");
            return Path.GetFileName(program) == "dotnet" ? [program, Path.Combine(AppContext.BaseDirectory, "Byre.Cli.dll")] : [program];
        }
    }

    /// <summary>Shows and runs a verb of this program; returns what it printed.</summary>
    /// <exception cref="DemoException">It ended with another status than the expected one.</exception>
    public async Task<string> ByreAsync(IReadOnlyList<string> arguments, int expectedStatus = 0, bool show = true)
    {
        var self = Self;
        screen.Command(("byre " + string.Join(' ', arguments.Select(Quote))).Replace(string.Join(' ', self), "byre", StringComparison.Ordinal));
        var (status, output) = await RunAsync(self[0], [.. self[1..], .. arguments]).ConfigureAwait(false);
        if (show || status != expectedStatus)
        {
            screen.Output(output, ShownLines);
        }

        return status == expectedStatus
            ? output
            : throw new DemoException($"byre {arguments[0]} ended with status {status}, not {expectedStatus}");
    }

    /// <summary>Runs a tool of the machine; returns its status and what it printed on both streams.</summary>
    public async Task<(int Status, string Output)> RunAsync(string program, IReadOnlyList<string> arguments)
    {
        stop.ThrowIfCancellationRequested();
        var start = new ProcessStartInfo(program)
        {
            WorkingDirectory = folder,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        try
        {
            using var process = Process.Start(start) ?? throw new DemoException($"cannot start {program}");
            process.StandardInput.Close();
            try
            {
                var output = process.StandardOutput.ReadToEndAsync(stop);
                var errors = process.StandardError.ReadToEndAsync(stop);
                await process.WaitForExitAsync(stop).ConfigureAwait(false);
                return (process.ExitCode, await output.ConfigureAwait(false) + await errors.ConfigureAwait(false));
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
                throw;
            }
        }
        catch (Win32Exception)
        {
            throw new DemoException($"cannot start {program}");
        }
    }

    private static string Quote(string argument) => argument.Contains(' ', StringComparison.Ordinal) ? $"'{argument}'" : argument;
}
