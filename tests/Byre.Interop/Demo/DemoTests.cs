using System.Diagnostics;

namespace Byre.Interop.Demo;

/// <summary>The newcomer's first command, as a program of its own.</summary>
public sealed class DemoTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-demotest-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task It_succeeds_in_time_and_leaves_nothing()
    {
        var start = new ProcessStartInfo("dotnet", [typeof(Byre.Cli.Demo.DemoCommand).Assembly.Location, "demo"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TMPDIR"] = directory;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(100));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        Assert.True(process.ExitCode == 0, await errors + await output);
        Assert.Equal("", await errors);
        foreach (var said in new[] { "== A snapshot", "name: since-backup", "Image committed.", "== An encrypted copy", "qemu-img finds", "== Done in" })
        {
            Assert.Contains(said, await output, StringComparison.Ordinal);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(directory));
    }
}
