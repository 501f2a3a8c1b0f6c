using System.Globalization;
using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Copy;

/// <summary>
/// Every line of the case files is a shell command; it runs with the real nbdcopy and with a link to Byre of that name, in
/// folders with the same files: the same exit status and output, a word on standard error where the other has one (one line, not
/// its help), and afterwards the same files, whose bytes and holes are the same.
/// </summary>
public sealed class CopyCaseTests : IDisposable
{
    // Each file's name, length, digest, and what it occupies.
    private const string Listing =
        "\nstatus=$?\nfor f in *; do [ -f \"$f\" ] && [ ! -L \"$f\" ] && echo \"$f $(stat -c %s \"$f\") $(sha1sum <\"$f\") $(stat -c %b \"$f\")\" >>../listing; done\nexit $status";

    // "serve COMMAND" runs a server at $uri; it ends with the case, and by itself.
    private const string Server =
        "uri=\"nbd+unix:///?socket=$PWD/sock\"\n"
        + "serve() { case $1 in nbdkit) set -- nbdkit -f -U \"$PWD/sock\" \"${@:2}\";; *) set -- \"$1\" -k \"$PWD/sock\" \"${@:2}\";; esac\n"
        + "timeout 60 \"$@\" >/dev/null & trap 'kill %1; wait; rm -f sock' EXIT; for ((i = 0; i < 300; i++)); do [ -S sock ] && return; sleep 0.05; done; exit 97; }\n";

    // The runtime that runs the tests ignores broken pipes, and so would what it starts.
    private const string Starter = "$SIG{PIPE} = 'DEFAULT'; exec @ARGV";

    private const int SlackBlocks = 64; // of 512 bytes: for what file systems allocate ahead

    private readonly string folder = Directory.CreateTempSubdirectory("byre-copy-case-").FullName;

    public static TheoryData<string> Copy() => Read("copy.txt");

    public static TheoryData<string> Nbd() => Read("copy-nbd.txt");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [MemberData(nameof(Copy))]
    public Task Copies_as_nbdcopy_does(string line) => CompareAsync(line, manyWords: false);

    /// <summary>Servers say something of their own when they end or refuse something.</summary>
    [Theory]
    [MemberData(nameof(Nbd))]
    public Task Copies_from_and_to_servers_as_nbdcopy_does(string line) => CompareAsync(line, manyWords: true);

    private async Task CompareAsync(string line, bool manyWords)
    {
        var theirs = await RunAsync(line, "theirs", null);
        var ours = await RunAsync(line, "ours", await LinkAsync());
        Assert.True(theirs.Status == ours.Status, $"{theirs.Status} {theirs.Error}\n{ours.Status} {ours.Error}");
        Assert.Equal(theirs.Output, ours.Output);
        Assert.True((theirs.Error.Length > 0) == (ours.Error.Length > 0), $"theirs: {theirs.Error}\nours: {ours.Error}");
        Assert.True(manyWords || ours.Error.Count(c => c == '\n') <= 1, ours.Error);
        if (theirs.Status == 0)
        {
            // After a failure nbdcopy leaves what it has written, Byre nothing that looks like a copy.
            Assert.Equal(theirs.Files.Select(f => f.Content), ours.Files.Select(f => f.Content));
            Assert.All(theirs.Files.Zip(ours.Files), pair => Assert.True(
                pair.Second.Blocks <= pair.First.Blocks + SlackBlocks, $"{pair.Second.Content} occupies {pair.Second.Blocks} blocks, not {pair.First.Blocks}"));
        }
    }

    /// <summary>A folder with the link to compare alone: servers are the real ones for both.</summary>
    private async Task<string> LinkAsync()
    {
        var links = Directory.CreateDirectory(Path.Combine(folder, "links")).FullName;
        var program = new FileInfo(Path.Combine(await ByreLinks.DirectoryAsync(), "nbdcopy")).LinkTarget!;
        File.CreateSymbolicLink(Path.Combine(links, "nbdcopy"), program);
        return links;
    }

    private static TheoryData<string> Read(string file) =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Cases", file)).Where(line => line.Length > 0)];

    private async Task<(int Status, string Output, string Error, List<(string Content, long Blocks)> Files)> RunAsync(string line, string name, string? tools)
    {
        var where = Directory.CreateDirectory(Path.Combine(folder, name, "files")).FullName;
        await ExternalTool.RunAsync("bash", where, Path.Combine(AppContext.BaseDirectory, "Cases", "copy-files.sh"));
        var path = tools is null ? "" : $"PATH={tools}:$PATH\n";
        var (status, output, error) = await ExternalTool.TryRunAsync("perl", where, ["-e", Starter, "bash", "-c", path + Server + line + Listing]);
        var files = new List<(string Content, long Blocks)>();
        foreach (var file in await File.ReadAllLinesAsync(Path.Combine(folder, name, "listing")))
        {
            var last = file.LastIndexOf(' ');
            files.Add((file[..last], long.Parse(file[last..], CultureInfo.InvariantCulture)));
        }

        return (status, output, error, files);
    }
}
