using System.Text.RegularExpressions;
using Byre.TestTools;

namespace Byre.Interop.Cases;

/// <summary>
/// Every line of the case files is a shell command; it runs with the real tools on the PATH and with links to Byre, in folders
/// with the same files: the same output and exit status, and a word on standard error where the other has one. The sentences
/// of errors are Byre's own, one line each.
/// </summary>
public sealed partial class CaseTests : IDisposable
{
    private static readonly Lazy<Task<string>> Files = new(MakeFilesAsync);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-case-").FullName;

    public static TheoryData<string> Io() => Read("io.txt");

    public static TheoryData<string> Img() => Read("img.txt");

    public static TheoryData<string> Img10() => Read("img10.txt");

    public static TheoryData<string> Bitmap() => Read("bitmap.txt");

    public static TheoryData<string> Bad() => Read("bad.txt");

    public static TheoryData<string> Block() => Read("block.txt");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [MemberData(nameof(Io))]
    public Task Io_runs_as_with_the_real_tool(string line) => CompareAsync(line, null);

    [Theory]
    [MemberData(nameof(Img))]
    public Task Img_runs_as_with_the_real_tool(string line) => CompareAsync(line, null);

    [Qemu10Theory]
    [MemberData(nameof(Img10))]
    public Task Img_runs_as_with_QEMU_10(string line) => CompareAsync(line, Qemu10TheoryAttribute.Directory);

    [Qemu10Theory]
    [MemberData(nameof(Bitmap))]
    public Task Bitmaps_are_kept_as_by_QEMU_10(string line) => CompareAsync(line, Qemu10TheoryAttribute.Directory);

    /// <summary>As root, but without the powers of root, so that files' permissions count; "full" is a file system of 1 MiB.</summary>
    [RootTheory]
    [MemberData(nameof(Bad))]
    public Task Bad_input_is_refused_as_by_the_real_tools(string line) => CompareAsync(Unprivileged(line), null);

    /// <summary>Where QEMU's tools wait for ever, and what they leave behind when the disk is full.</summary>
    [RootTheory]
    [InlineData("for v in info check map measure; do qemu-img $v fifo; echo $?; done", "1\n1\n1\n1\n")]
    [InlineData("qemu-img compare fifo a.img; echo $?", "2\n")]
    [InlineData("qemu-img create -q -f raw full/x -o preallocation=full 4M; echo $?; ls full", "1\n")]
    [InlineData("qemu-img convert -O qcow2 base.q full/x; echo $?; ls full", "1\n")]
    [InlineData("qemu-img info missing 2>&-; echo $?", "1\n")]
    [InlineData("for v in info map check measure; do qemu-img $v base.q >/dev/full; echo $?; done; qemu-img compare base.q base.q >/dev/full; echo $?", "1\n1\n1\n1\n2\n")]
    [InlineData("qemu-img create -f qcow2 x.q 1M >/dev/full; echo $?; qemu-img create -f qcow2 y.q 1M >&-; echo $?; qemu-img check -q y.q; echo $?", "0\n0\n0\n")]
    [InlineData("qemu-img create -q -f qcow2 -u -b $'gone\\n\\e[2J' -F qcow2 x.q 1M; qemu-img map x.q; qemu-img info x.q | grep -c '^backing file: gone??\\[2J'", "1\n")]
    public async Task Bad_input_is_refused_at_once_and_leaves_nothing(string line, string output)
    {
        var ours = await RunAsync(Unprivileged(line), "ours", await ByreLinks.DirectoryAsync());
        Assert.Equal(output, ours.Output);
        Assert.All(ours.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries), told => Assert.StartsWith("qemu-img: ", told, StringComparison.Ordinal));
    }

    /// <summary>On a loop device of 4 MiB.</summary>
    [RootTheory]
    [MemberData(nameof(Block))]
    public Task Block_devices_are_used_as_by_the_real_tools(string line) =>
        CompareAsync("dev=$(losetup -f --show sparse.raw) || exit 99; trap 'losetup -d $dev' EXIT\n" + line, null);

    private static string Unprivileged(string line) =>
        "cat >case.sh <<'CASE'\n" + line + "\nCASE\n"
        + "mkfifo fifo; cp base.q ro.q; chmod 444 ro.q; cp base.q secret.q; chmod 0 secret.q; mkdir -m 555 rodir; mkdir -m 0 dir000; mkdir full\n"
        + "exec unshare -m bash -c 'mount -t tmpfs -o size=1m none full && exec setpriv --bounding-set=-all --inh-caps=-all bash case.sh'";

    private static TheoryData<string> Read(string file) =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Cases", file)).Where(line => line.Length > 0)];

    private static async Task<string> MakeFilesAsync()
    {
        var made = Directory.CreateTempSubdirectory("byre-cases-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(made, recursive: true);
        await ExternalTool.RunAsync("bash", made, Path.Combine(AppContext.BaseDirectory, "Cases", "files.sh"));
        return made;
    }

    private async Task CompareAsync(string line, string? tools)
    {
        var theirs = await RunAsync(line, "theirs", tools);
        var ours = await RunAsync(line, "ours", await ByreLinks.DirectoryAsync());
        Assert.True(theirs.Status == ours.Status, $"{theirs.Status} {theirs.Error}\n{ours.Status} {ours.Error}");
        Assert.Equal(Settle(theirs.Output), Settle(ours.Output));
        Assert.True((theirs.Error.Length > 0) == (ours.Error.Length > 0), $"theirs: {theirs.Error}\nours: {ours.Error}");
        Assert.True(Lines(ours.Error) <= Math.Max(1, Lines(theirs.Error)), ours.Error);
    }

    private static int Lines(string text) => text.Count(c => c == '\n');

    private async Task<(int Status, string Output, string Error)> RunAsync(string line, string name, string? tools)
    {
        for (var attempt = 1; ; attempt++)
        {
            var where = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
            await ExternalTool.RunAsync("cp", where, "-a", Path.Combine(await Files.Value, "."), where);
            var path = tools is null ? "" : $"PATH={tools}:$PATH\n";
            var result = await ExternalTool.TryRunAsync("bash", where, ["-c", path + line]);
            if (attempt == 10 || !ExternalTool.HasFailedToCalibrate(result.Error))
            {
                return result;
            }

            Directory.Delete(where, recursive: true);
        }
    }

    /// <summary>Takes out times, rates, the texts of help, and sentences that are each tool's own.</summary>
    private static string Settle(string output)
    {
        output = Loop().Replace(output, "DEVICE");
        output = Times().Replace(output, " ops");
        output = Values().Replace(output, ",T");
        output = UsageLines().Replace(output, "$1 USAGE");
        output = Sentences().Replace(output, "SENTENCE");
        output = Compressed().Replace(output, "");
        return HelpText().Replace(output, "HELP");
    }

    [GeneratedRegex("/dev/loop[0-9]+")]
    private static partial Regex Loop();

    [GeneratedRegex(" ops; .*")]
    private static partial Regex Times();

    [GeneratedRegex(",[0-9]+:[0-9:.]+,[0-9.]+,[0-9.]+$", RegexOptions.Multiline)]
    private static partial Regex Values();

    [GeneratedRegex(@"^([a-z_]+) [\[(a-z].* -- .*$", RegexOptions.Multiline)]
    private static partial Regex UsageLines();

    [GeneratedRegex("^(Parsing error: .*|pattern verification range .*|the range to check .*|The total number .*|The lengths together .*)$", RegexOptions.Multiline)]
    private static partial Regex Sentences();

    [GeneratedRegex(", \"compressed\": (false|true)")]
    private static partial Regex Compressed();

    [GeneratedRegex(@"Usage: qemu-io [\s\S]*")]
    private static partial Regex HelpText();
}
