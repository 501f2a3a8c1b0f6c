using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>What byre serve does with what lies at the path of its pid file.</summary>
public sealed class PidFileTests : IDisposable
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");

    private readonly string folder = Directory.CreateTempSubdirectory("byre-pid-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>A pipe gets the number and stays a pipe: whoever waits at it would wait for ever where it were replaced.</summary>
    [Fact]
    public async Task A_pipe_in_its_place_is_written_to()
    {
        var output = await ShellAsync(
            "mkfifo p; timeout 60 cat p >got & reader=$!\n"
            + $"'{Program}' serve --fork -t --pid-file=p -k $PWD/s -f raw a.raw; echo $?; wait $reader; kill \"$(cat got)\"; echo $?; stat -c %F p");
        Assert.Equal("0\n0\nfifo\n", output);
    }

    /// <summary>A device is never replaced: not /dev/null, which the user might name who wants no such file.</summary>
    [RootTheory]
    [InlineData("c 1 3", "0\ncharacter special file\n")]
    [InlineData("c 1 7", "1\ncharacter special file\n")] // /dev/full
    public async Task A_device_in_its_place_stays(string device, string output)
    {
        // The first client ends the server.
        Assert.Equal(
            output,
            await ShellAsync(
                $"mknod p {device} || exit 99; '{Program}' serve --fork --pid-file=p -k $PWD/s -f raw a.raw 2>said; echo $?; nbdinfo --size nbd+unix:///?socket=$PWD/s >told 2>&1; stat -c %F p"));
    }

    [RootTheory]
    [InlineData("b 7 250")]
    public async Task A_disk_in_its_place_is_not_written_to(string device)
    {
        var (status, _, error) = await ExternalTool.TryRunAsync("bash", folder, ["-ec", $"truncate -s 64k a.raw; mknod p {device}; '{Program}' serve --pid-file=p -k $PWD/s -f raw a.raw"]);
        Assert.Equal((1, "byre serve: Could not create 'p': it is a block device\n"), (status, error));
    }

    [Fact]
    public async Task A_link_in_its_place_is_followed()
    {
        Assert.Equal(
            "0\n0\nsymbolic link\nsame\n",
            await ShellAsync(
                "echo a longer text than a number >p; ln -s p q\n"
                + $"'{Program}' serve --fork -t --pid-file=q -k $PWD/s -f raw a.raw; echo $?; kill \"$(cat p)\"; echo $?; stat -c %F q; cmp p q && echo same"));
    }

    private Task<string> ShellAsync(string line) => ExternalTool.RunAsync("timeout", folder, "100", "bash", "-c", "truncate -s 64k a.raw\n" + line);
}
