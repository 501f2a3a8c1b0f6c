using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>
/// The lines of nbdinfo.txt and nbdimg.txt start servers of others (and Byre's, as $serve) and look at them, with the real tools
/// and with Byre under their names: the same output and exit statuses, and something on standard error where the other has that.
/// </summary>
public sealed class NbdToolCaseTests : IDisposable
{
    private static readonly Lazy<Task<string>> Files = new(MakeFilesAsync);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-look-").FullName;

    public static TheoryData<string> Info() => Read("nbdinfo.txt");

    public static TheoryData<string> Img() => Read("nbdimg.txt");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [MemberData(nameof(Info))]
    public Task Nbdinfo_and_nbddump_see_what_the_real_ones_see(string line) => CompareAsync(line, null);

    [Qemu10Theory]
    [MemberData(nameof(Img))]
    public Task Img_and_io_see_what_those_of_QEMU_10_see(string line) => CompareAsync(line, Qemu10TheoryAttribute.Directory);

    /// <summary>Where the real tools say less, print half an object, fail, or do not end.</summary>
    [Theory]
    [InlineData("kit file dir=dir --run 'nbdinfo --json $U; echo $?; nbdinfo --json \"nbd+unix:///no?socket=$S\"; echo $?' 2>/dev/null", "1\n1\n")]
    [InlineData("kit --filter=error memory 1M error-extents-rate=100% --run 'nbdinfo --map --json $U; echo $?; nbddump -n 16 $U' 2>/dev/null", "1\n0000000000: 00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00 |................|\n")]
    [InlineData("kit --filter=error memory 1M error-pread-rate=100% --run 'nbddump -n 16 $U'", "0000000000: 00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00 |................|\n")]
    [InlineData("nbddump [ nbdkit --exit-with-parent file dir/gif ]", "0000000000: 47 49 46 38 39 61                                |GIF89a          |\n")]
    [InlineData("kit -r pattern 4G --run 'trap - PIPE; nbddump $U | head -n 1 | wc -l'", "1\n")]
    [InlineData("for o in '' --map --json --size; do nbdinfo $o [ nbdkit memory 1M ] >/dev/full; echo $?; done 2>/dev/null", "1\n1\n1\n1\n")]
    [InlineData("kit --tls=require --tls-certificates=$PWD/tls memory 1M --run 'nbdinfo --size \"nbds+unix:///?socket=$S&tls-certificates=$PWD/tls&tls-hostname=other\"; echo $?; nbdinfo --size \"nbds+unix:///?socket=$S&tls-certificates=$PWD/psk\"; echo $?' 2>/dev/null", "1\n1\n")]
    [InlineData("nbdinfo nbd+vsock://2:1/ 2>&1 | grep -c 'vsock sockets are not supported'; nbdinfo -- [ false ] 2>&1 | grep -c \"^nbdinfo: Failed to connect to '\\[ false \\]': \"", "1\n1\n")]
    public async Task Byre_does_better(string line, string output)
    {
        var ours = await RunAsync(line, "ours", await ByreLinks.DirectoryAsync());
        Assert.Equal(output, ours.Output);
    }

    private static TheoryData<string> Read(string file) =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Cases", file)).Where(line => line.Length > 0)];

    private static async Task<string> MakeFilesAsync()
    {
        var made = Directory.CreateTempSubdirectory("byre-looks-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(made, recursive: true);
        await ExternalTool.RunAsync("bash", made, Path.Combine(AppContext.BaseDirectory, "Cases", "nbdinfo.sh"));
        return made;
    }

    private async Task CompareAsync(string line, string? tools)
    {
        var both = await Task.WhenAll(RunAsync(line, "theirs", tools), RunAsync(line, "ours", await ByreLinks.DirectoryAsync()));
        Assert.Equal($"{both[0].Output}{both[0].Status}", $"{both[1].Output}{both[1].Status}");
    }

    /// <summary>A line in a folder of its own, where only the tools that look are the tested ones; all that it starts ends with it.</summary>
    private async Task<(int Status, string Output, string Error)> RunAsync(string line, string name, string? tools)
    {
        var where = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        await ExternalTool.RunAsync("cp", where, "-a", Path.Combine(await Files.Value, "."), where);
        var path = "";
        if (tools is not null)
        {
            foreach (var tool in (string[])["qemu-img", "qemu-io", "nbdinfo", "nbddump"])
            {
                if (Path.Combine(tools, tool) is var program && File.Exists(program))
                {
                    File.CreateSymbolicLink(Path.Combine(where, "bin", tool), program);
                }
            }

            path = $"PATH={where}/bin:$PATH\n";
        }

        var serve = await NbdServers.OursAsync();
        var (status, output, error) = await ExternalTool.TryRunAsync(
            "timeout", where, ["-s", "KILL", "100", "bash", "-c", $"{path}export serve={serve}\n. ./lib\n{line}"]);
        return (status, output.Replace(where, "HERE", StringComparison.Ordinal), error);
    }
}
