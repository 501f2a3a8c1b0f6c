using System.Diagnostics;

namespace Byre.Interop.Published;

/// <summary>The program as ./byre publishes it, which the other tests do not run: it is built where it is not there or not current.</summary>
public sealed class PublishedProgramTests : IDisposable
{
    // One to two minutes on two cores that have nothing else to do.
    private static readonly TimeSpan LongestBuild = TimeSpan.FromMinutes(12);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-published-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>
    /// What is not compiled ahead is compiled in every run: docs/decisions/0001 tells how much that costs. Without the framework's
    /// lists of what the runtime calls these runs compile 63, 102 and 116 methods, with them 8, 15 and 26.
    /// </summary>
    [PrecompiledTheory]
    [InlineData(20, "--version")]
    [InlineData(40, "info", "disk.raw")]
    [InlineData(60, "create", "-f", "qcow2", "disk.qcow2", "1M")]
    public async Task A_run_compiles_next_to_nothing(int most, params string[] words)
    {
        await File.WriteAllBytesAsync(Path.Combine(folder, "disk.raw"), new byte[512]);
        var start = new ProcessStartInfo(Path.Combine(Root(), "byre"), words)
        {
            WorkingDirectory = folder, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        var (program, errors) = await RunAsync(start); // this may build it, with a compiler that is a program of the runtime too
        Assert.True(program == 0, errors);

        var list = Path.Combine(folder, "compiled");
        start.Environment["DOTNET_JitStdOutFile"] = list;
        start.Environment["DOTNET_JitDisasmSummary"] = "1";
        File.Delete(Path.Combine(folder, "disk.qcow2"));
        (program, errors) = await RunAsync(start);
        Assert.True(program == 0, errors);

        var compiled = await File.ReadAllLinesAsync(list);
        Assert.InRange(compiled.Length, 1, int.MaxValue); // some always are: otherwise the list is none
        Assert.True(compiled.Length <= most, $"{compiled.Length} methods are compiled: {string.Join('\n', compiled)}");
    }

    private static async Task<(int Status, string Errors)> RunAsync(ProcessStartInfo start)
    {
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        using var limit = new CancellationTokenSource(LongestBuild);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{start.FileName} does not end.");
        }

        await output;
        return (process.ExitCode, await errors);
    }

    private static string Root()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "Byre.slnx")))
            {
                return folder;
            }
        }

        throw new InvalidOperationException("the tests do not run inside the solution's folder");
    }
}
