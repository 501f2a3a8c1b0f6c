using System.Diagnostics;

namespace Byre.Interop.Check;

/// <summary>The real tools: those of the system, and a newer qemu-img where there is one.</summary>
internal static class QemuImg
{
    /// <summary>The qemu-img programs to compare with; the first is the system's, which must be there.</summary>
    public static IReadOnlyList<string> Programs { get; } = Find();

    /// <summary>Runs a program.</summary>
    public static (int Status, string Output, string Errors) Run(string program, params string[] arguments)
    {
        using var process = new Process();
        process.StartInfo = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardError = true, RedirectStandardOutput = true, RedirectStandardInput = true,
        };
        process.Start();
        process.StandardInput.Close();
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(60_000))
        {
            process.Kill();
            throw new TimeoutException(program);
        }

        return (process.ExitCode, output, errors.GetAwaiter().GetResult());
    }

    /// <summary>Runs a program that must succeed.</summary>
    public static void Must(string program, params string[] arguments)
    {
        var (status, output, errors) = Run(program, arguments);
        Assert.True(status == 0, $"{program} {string.Join(' ', arguments)}: {status} {output}{errors}");
    }

    private static List<string> Find()
    {
        List<string> found = ["qemu-img"];
        var newer = Environment.GetEnvironmentVariable("BYRE_TEST_QEMU_IMG") ?? "/opt/qemu10/qemu-img";
        if (File.Exists(newer))
        {
            found.Add(newer);
        }

        return found;
    }
}
