using Byre.TestTools;

namespace Byre.Interop.Cases;

/// <summary>A script written for QEMU's tools, run with them and with Byre under their names.</summary>
public sealed class ScriptTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-script-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task A_script_for_QEMUs_tools_runs_unchanged()
    {
        var theirs = await RunAsync("theirs", "");
        var ours = await RunAsync("ours", $"PATH={await ByreLinks.DirectoryAsync()}:$PATH ");
        Assert.Equal(theirs.Output, ours.Output);
        Assert.Equal((0, theirs.Error), (theirs.Status, ours.Error));
        Assert.Equal(0, ours.Status);
    }

    private Task<(int Status, string Output, string Error)> RunAsync(string name, string path) => ExternalTool.TryRunAsync(
        "bash",
        Directory.CreateDirectory(Path.Combine(folder, name)).FullName,
        ["-c", $"{path}bash {Path.Combine(AppContext.BaseDirectory, "Cases", "script.sh")}"]);
}
