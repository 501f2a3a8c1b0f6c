using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>A server whose disk is another server's tells of the layers behind that one too.</summary>
public sealed class LayersBehindTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-behind-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("older")]
    [Qemu10Data("newer")]
    [InlineData("byre")]
    public async Task The_same_depths_are_told_by_a_server_of_a_server(string which)
    {
        var program = which switch { "older" => NbdServers.Older, "newer" => NbdServers.Real, _ => await NbdServers.OursAsync() };
        await MakeChainAsync();
        await using var first = await NbdServerProcess.StartAsync(program, folder, PeerServer.Qemu(folder, "qcow2", "top.qcow2", "-A", "-r"));
        var second = Directory.CreateDirectory(Path.Combine(folder, "second")).FullName;
        await using var ours = await NbdServerProcess.StartAsync(
            await NbdServers.OursAsync(), second, ["-t", "-e", "8", "-k", NbdServerProcess.SocketIn(second), "-A", "-r", "-f", "raw", first.Uri()]);
        var expected = await MapAsync(first, "qemu:allocation-depth");
        Assert.Contains(" 3 ", expected, StringComparison.Ordinal);
        Assert.Equal(expected, await MapAsync(ours, "qemu:allocation-depth"));
        Assert.Equal(await MapAsync(first, "base:allocation"), await MapAsync(ours, "base:allocation"));
        if (which == "byre")
        {
            Assert.Equal(await MapAsync(first, "qemu:joint-allocation"), await MapAsync(ours, "qemu:joint-allocation"));
            Assert.Equal(await MapAsync(first, "byre:joint"), await MapAsync(ours, "byre:joint"));
        }
    }

    [Fact]
    public async Task An_image_over_a_server_counts_on_behind_it()
    {
        await MakeChainAsync();
        await using var first = await NbdServerProcess.StartAsync(NbdServers.Older, folder, PeerServer.Qemu(folder, "qcow2", "top.qcow2", "-A", "-r"));
        var second = Directory.CreateDirectory(Path.Combine(folder, "second")).FullName;
        await ExternalTool.RunAsync("qemu-img", second, "create", "-q", "-f", "qcow2", "-b", first.Uri(), "-F", "raw", "over.qcow2");
        await ExternalTool.RunAsync("qemu-io", second, "-f", "qcow2", "-c", "write -P 9 0 64k", "over.qcow2");
        await using var ours = await NbdServerProcess.StartAsync(
            await NbdServers.OursAsync(), second, ["-t", "-e", "8", "-k", NbdServerProcess.SocketIn(second), "-A", "-r", "-f", "qcow2", Path.Combine(second, "over.qcow2")]);
        var map = (await MapAsync(ours, "qemu:allocation-depth")).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Take(3))).ToList();
        Assert.Equal(["0 65536 1", "65536 458752 4", "524288 1048576 3", "1572864 524288 4", "2097152 1048576 2", "3145728 1048576 0"], map);
    }

    private static async Task<string> MapAsync(NbdServerProcess server, string context) =>
        await ExternalTool.RunAsync("nbdinfo", ".", "--map=" + context, server.Uri());

    /// <summary>Three layers: each decides some, and nobody the last MiB.</summary>
    private async Task MakeChainAsync()
    {
        await ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "base.qcow2", "4M");
        await ExternalTool.RunAsync("qemu-io", folder, "-f", "qcow2", "-c", "write -P 1 0 2M", "base.qcow2");
        await ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "middle.qcow2");
        await ExternalTool.RunAsync("qemu-io", folder, "-f", "qcow2", "-c", "write -P 2 512k 1M", "middle.qcow2");
        await ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2");
        await ExternalTool.RunAsync("qemu-io", folder, "-f", "qcow2", "-c", "write -z 2M 512k", "-c", "write -P 3 2560k 512k", "top.qcow2");
    }
}
