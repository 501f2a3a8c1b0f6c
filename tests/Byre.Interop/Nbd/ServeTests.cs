using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>
/// The lines of serve.txt start servers and use them. Output, exit statuses and whether there is an error are those of QEMU 10's
/// qemu-nbd, also the files that are left; the clients are QEMU's and libnbd's on both sides.
/// </summary>
public sealed class ServeTests : IDisposable
{
    private static readonly Lazy<Task<string>> Files = new(MakeFilesAsync);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-serve-").FullName;

    public static TheoryData<string> Lines() =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Cases", "serve.txt")).Where(line => line.Length > 0)];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Qemu10Theory]
    [MemberData(nameof(Lines))]
    public async Task A_script_finds_the_server_that_QEMU_10_is(string line)
    {
        var theirs = await RunAsync(line, "theirs", NbdServers.Newer!);
        var ours = await RunAsync(line, "ours", await NbdServers.OursAsync());
        Assert.Equal($"{theirs.Status}\n{Neutral(theirs.Output)}", $"{ours.Status}\n{Neutral(ours.Output)}");
        Assert.True((theirs.Error.Length > 0) == (ours.Error.Length > 0), $"theirs: {theirs.Error}\nours: {ours.Error}");
        Assert.True(ours.Error.Count(c => c == '\n') <= Math.Max(1, theirs.Error.Count(c => c == '\n')), $"theirs: {theirs.Error}\nours: {ours.Error}");
    }

    private static async Task<string> MakeFilesAsync()
    {
        var made = Directory.CreateTempSubdirectory("byre-served-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(made, recursive: true);
        await ExternalTool.RunAsync("bash", made, Path.Combine(AppContext.BaseDirectory, "Cases", "serve.sh"));
        return made;
    }

    private string Neutral(string output) => output.Replace(Path.Combine(folder, "ours"), "HERE", StringComparison.Ordinal)
        .Replace(Path.Combine(folder, "theirs"), "HERE", StringComparison.Ordinal);

    /// <summary>A line in a folder of its own, where only qemu-nbd is the tested program; all that it starts ends with it.</summary>
    private async Task<(int Status, string Output, string Error)> RunAsync(string line, string name, string server)
    {
        var where = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        await ExternalTool.RunAsync("cp", where, "-a", Path.Combine(await Files.Value, "."), where);
        var tools = Directory.CreateDirectory(Path.Combine(folder, name + "-tools")).FullName;
        File.CreateSymbolicLink(Path.Combine(tools, "qemu-nbd"), server);
        return await ExternalTool.TryRunAsync(
            "timeout", where, ["-s", "KILL", "100", "bash", "-c", $"PATH={tools}:{Qemu10TheoryAttribute.Directory}:$PATH\n. ./lib\n{line}"]);
    }
}
