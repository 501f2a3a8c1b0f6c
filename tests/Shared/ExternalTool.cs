using System.Diagnostics;

namespace Byre.TestTools;

/// <summary>Runs the real tools that Byre's work is compared with. A missing tool is a failure: the tests' setup installs it.</summary>
internal static class ExternalTool
{
    private const int Attempts = 10;

    /// <summary>Runs a program to its end.</summary>
    /// <returns>Its exit status and what it wrote.</returns>
    public static async Task<(int Status, string Output, string Error)> TryRunAsync(
        string program, string directory, IEnumerable<string> arguments, string? input = null)
    {
        for (var attempt = 1; ; attempt++)
        {
            var result = await RunOnceAsync(program, directory, arguments, input);
            if (attempt == Attempts || !HasFailedToCalibrate(program, result.Error))
            {
                return result;
            }
        }
    }

    private static async Task<(int Status, string Output, string Error)> RunOnceAsync(
        string program, string directory, IEnumerable<string> arguments, string? input)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} does not start.");
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (input is not null)
        {
            await process.StandardInput.WriteAsync(input);
        }

        process.StandardInput.Close();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} does not end.");
        }

        return (process.ExitCode, await output, await error);
    }

    /// <summary>Runs a program to its end, and waits on this thread.</summary>
    /// <returns>Its exit status and what it wrote.</returns>
    public static (int Status, string Output, string Error) Run(string program, string directory, IEnumerable<string> arguments)
    {
        for (var attempt = 1; ; attempt++)
        {
            var result = RunOnce(program, directory, arguments);
            if (attempt == Attempts || !HasFailedToCalibrate(program, result.Error))
            {
                return result;
            }
        }
    }

    private static (int Status, string Output, string Error) RunOnce(string program, string directory, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} does not start.");
        process.StandardInput.Close();
        var errors = Task.Run(process.StandardError.ReadToEnd);
        var output = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', start.ArgumentList)} does not end.");
        }

        return (process.ExitCode, output, errors.Result);
    }

    /// <summary>Runs a program that must succeed.</summary>
    /// <returns>What it wrote to standard output.</returns>
    public static async Task<string> RunAsync(string program, string directory, params string[] arguments)
    {
        var (status, output, error) = await TryRunAsync(program, directory, arguments);
        return status == 0 ? output : throw new InvalidOperationException(
            $"{program} {string.Join(' ', arguments)} ended with {status}: {output}{error}");
    }

    /// <summary>
    /// Whether one of QEMU's tools could not time the derivation of a key. Its measure is the thread's CPU time, which does not
    /// move at every call on every machine: the same command succeeds when it is given again.
    /// </summary>
    public static bool HasFailedToCalibrate(string error) => error.Contains("accurate CPU usage", StringComparison.Ordinal);

    private static bool HasFailedToCalibrate(string program, string error) =>
        Path.GetFileName(program).StartsWith("qemu", StringComparison.Ordinal) && HasFailedToCalibrate(error);
}
