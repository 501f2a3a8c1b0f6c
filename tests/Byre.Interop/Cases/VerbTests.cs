using System.Text.RegularExpressions;
using Byre.TestTools;

namespace Byre.Interop.Cases;

/// <summary>
/// The lines of verbs.txt change images. As for the other case files the output, the exit status and whether there is an error
/// are those of QEMU 10; and so is what its tools say of every image afterwards: content, properties, and the check.
/// </summary>
public sealed partial class VerbTests : IDisposable
{
    private static readonly Lazy<Task<string>> Files = new(MakeFilesAsync);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-verb-").FullName;

    public static TheoryData<string> Lines() =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Cases", "verbs.txt")).Where(line => line.Length > 0)];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Qemu10Theory]
    [MemberData(nameof(Lines))]
    public async Task A_verb_leaves_the_images_that_QEMU_10_leaves(string line)
    {
        var theirs = await RunAsync(line, "theirs", Qemu10TheoryAttribute.Directory!);
        var ours = await RunAsync(line, "ours", await ByreLinks.DirectoryAsync());
        Assert.True(theirs.Status == ours.Status, $"{theirs.Status} {theirs.Error}\n{ours.Status} {ours.Error}");
        Assert.Equal(Seconds().Replace(theirs.Output, "in T"), Seconds().Replace(ours.Output, "in T"));
        Assert.True((theirs.Error.Length > 0) == (ours.Error.Length > 0), $"theirs: {theirs.Error}\nours: {ours.Error}");
        Assert.True(ours.Error.Count(c => c == '\n') <= Math.Max(1, theirs.Error.Count(c => c == '\n')), ours.Error);
        Assert.Equal(Names("theirs"), Names("ours"));
        foreach (var name in Names("ours"))
        {
            await CompareAsync(name);
        }
    }

    private static async Task<string> MakeFilesAsync()
    {
        var made = Directory.CreateTempSubdirectory("byre-verbs-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(made, recursive: true);
        await ExternalTool.RunAsync("bash", made, Path.Combine(AppContext.BaseDirectory, "Cases", "verbs.sh"));
        return made;
    }

    private static async Task<(int Status, string Output, string Error)> ToolAsync(string where, params string[] arguments) =>
        await ExternalTool.TryRunAsync(Path.Combine(Qemu10TheoryAttribute.Directory!, "qemu-img"), where, arguments);

    private string[] Names(string side) => [.. Directory.GetFiles(Path.Combine(folder, side)).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];

    private async Task CompareAsync(string name)
    {
        var theirs = Path.Combine(folder, "theirs");
        var ours = Path.Combine(folder, "ours");
        var bytes = await File.ReadAllBytesAsync(Path.Combine(ours, name));
        var same = (await File.ReadAllBytesAsync(Path.Combine(theirs, name))).AsSpan().SequenceEqual(bytes);
        if (same || bytes is not [0x51, 0x46, 0x49, 0xfb, ..])
        {
            Assert.True(same, $"{name} differs");
            return;
        }

        Assert.Equal(await SayAsync(theirs, name), await SayAsync(ours, name));
        var (_, _, theirFailure) = await ToolAsync(theirs, "convert", "-U", "-O", "raw", name, Path.Combine(folder, "theirs.raw"));
        var (_, _, ourFailure) = await ToolAsync(ours, "convert", "-U", "-O", "raw", name, Path.Combine(folder, "ours.raw"));
        Assert.Equal(theirFailure, ourFailure);
        if (ourFailure.Length == 0)
        {
            var (status, output, error) = await ToolAsync(folder, "compare", "-f", "raw", "-F", "raw", "theirs.raw", "ours.raw");
            Assert.True(status == 0, $"{name}: {output}{error}");
        }
    }

    /// <summary>What info and check say, but for what takes space where.</summary>
    private static async Task<string> SayAsync(string where, string name)
    {
        var (_, info, _) = await ToolAsync(where, "info", "-U", name);
        var (status, _, error) = await ToolAsync(where, "check", "-U", "-q", name);
        var facts = info.Split('\n').Where(l => !l.StartsWith("disk size", StringComparison.Ordinal) && !l.Contains("file length", StringComparison.Ordinal)
            && !l.Contains("disk size", StringComparison.Ordinal));
        return $"{string.Join('\n', facts)}\ncheck {status} {error}";
    }

    private async Task<(int Status, string Output, string Error)> RunAsync(string line, string name, string tools)
    {
        for (var attempt = 1; ; attempt++)
        {
            var where = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
            await ExternalTool.RunAsync("cp", where, "-a", Path.Combine(await Files.Value, "."), where);
            var result = await ExternalTool.TryRunAsync("bash", where, ["-c", $"PATH={tools}:$PATH\n{line}"]);
            if (attempt == 10 || !ExternalTool.HasFailedToCalibrate(result.Error))
            {
                return result;
            }

            Directory.Delete(where, recursive: true);
        }
    }

    [GeneratedRegex("in [0-9.]+ seconds")]
    private static partial Regex Seconds();
}
