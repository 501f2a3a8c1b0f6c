using Byre.Interop.Img;
using Byre.TestTools;

namespace Byre.Interop.Combined;

/// <summary>Zeroes that only the old backing chain gave, and that are no whole clusters, are zeroes over a new backing file.</summary>
public sealed class RebaseZeroesTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-rebase-zeroes-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("cluster_size=4k", true)]
    [InlineData("cluster_size=4k", false)]
    [InlineData("cluster_size=512", true)]
    [InlineData("cluster_size=64k,extended_l2=on", true)]
    [InlineData("cluster_size=64k,extended_l2=on", false)]
    [InlineData("cluster_size=4k,compat=0.10", true)]
    [InlineData("cluster_size=4k,compat=0.10", false)]
    public async Task The_new_backing_file_ends_within_a_cluster(string options, bool hasBacking)
    {
        await File.WriteAllBytesAsync(At("old.raw"), Enumerable.Repeat((byte)1, 100 * 1024).ToArray());
        await File.WriteAllBytesAsync(At("new.raw"), Enumerable.Repeat((byte)2, 535_040).ToArray());
        string[] backing = hasBacking ? ["-b", At("old.raw"), "-F", "raw"] : [];
        await ExternalTool.RunAsync("qemu-img", directory, ["create", "-q", "-f", "qcow2", "-o", options, .. backing, At("disk.q"), "900k"]);
        await ExternalTool.RunAsync("qemu-img", directory, "convert", "-O", "raw", At("disk.q"), At("before"));
        var result = await Tools.ByreAsync("rebase", "-f", "qcow2", "-b", At("new.raw"), "-F", "raw", At("disk.q"));
        Assert.True(result.Status == 0, result.Errors);
        await ExternalTool.RunAsync("qemu-img", directory, "convert", "-O", "raw", At("disk.q"), At("after"));
        Assert.Equal(await File.ReadAllBytesAsync(At("before")), await File.ReadAllBytesAsync(At("after")));
        await ExternalTool.RunAsync("qemu-img", directory, "check", "-q", At("disk.q"));
    }

    [Fact]
    public async Task The_new_backing_file_has_holes_within_a_cluster()
    {
        await File.WriteAllBytesAsync(At("old.raw"), new byte[512]);
        await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", At("new.q"), "1M");
        await ExternalTool.RunAsync("qemu-io", directory, "-c", "write -P 3 17k 1k", "-c", "write -P 4 30k 512", At("new.q"));
        await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-b", At("old.raw"), "-F", "raw", At("disk.q"), "1M");
        var result = await Tools.ByreAsync("rebase", "-f", "qcow2", "-b", At("new.q"), "-F", "qcow2", At("disk.q"));
        Assert.True(result.Status == 0, result.Errors);
        await ExternalTool.RunAsync("qemu-img", directory, "convert", "-O", "raw", At("disk.q"), At("after"));
        Assert.Equal(new byte[1 << 20], await File.ReadAllBytesAsync(At("after")));
    }

    private string At(string name) => Path.Combine(directory, name);
}
