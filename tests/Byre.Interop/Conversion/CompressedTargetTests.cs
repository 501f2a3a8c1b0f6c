using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>Compressed targets, written by several threads at once.</summary>
public sealed class CompressedTargetTests : IDisposable
{
    private const int Runs = 3;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-compressed-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task Clusters_lie_in_the_order_of_the_disk()
    {
        // What does not compress is stored in whole clusters: a reader who goes through the disk goes through the file.
        var raw = Path.Combine(directory, "disk.raw");
        var target = Path.Combine(directory, "target.qcow2");
        var random = new byte[24 << 20];
        new Random(2).NextBytes(random);
        File.WriteAllBytes(raw, random);
        var ours = await Tools.ByreAsync("convert", "-c", "-f", "raw", "-O", "qcow2", raw, target);
        Assert.True(ours.Status == 0, ours.Errors);
        var (_, report, _) = QemuImg.Run("qemu-img", "check", "-f", "qcow2", target);
        Assert.Contains("0.00% fragmented", report, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1000448)]
    [InlineData(2000384)]
    public async Task A_target_that_is_there_may_go_on_behind_a_short_last_cluster(long length)
    {
        var raw = Path.Combine(directory, "disk.raw");
        var target = Path.Combine(directory, "target.qcow2");
        TestDisks.Make(raw, 1000448, 12, seed: 3);
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", target, $"{length}");
        QemuImg.Must("qemu-io", "-c", $"write -q -P 7 0 {length}", target);
        var ours = await Tools.ByreAsync("convert", "-c", "-n", "-f", "raw", "-O", "qcow2", raw, target);
        Assert.True(ours.Status == 0, ours.Errors);
        QemuImg.Must("qemu-img", "check", "-f", "qcow2", target);
        QemuImg.Must("qemu-img", "convert", "-O", "raw", target, raw + ".back");
        var expected = new byte[length];
        expected.AsSpan().Fill(7);
        File.ReadAllBytes(raw).CopyTo(expected, 0);
        Assert.Equal(expected, File.ReadAllBytes(raw + ".back"));
    }

    [Theory]
    [InlineData("512", "zlib")]
    [InlineData("512", "zstd")]
    [InlineData("1k", "zlib")]
    [InlineData("1k", "zstd")]
    [InlineData("2k", "zlib")]
    [InlineData("2k", "zstd")]
    public async Task Small_clusters_arrive_whole_whatever_the_threads_do(string clusterSize, string type)
    {
        var raw = Path.Combine(directory, "disk.raw");
        var source = Path.Combine(directory, "disk.qcow2");
        var target = Path.Combine(directory, "target.qcow2");
        TestDisks.Make(raw, 20 << 20, 40, seed: 1);
        QemuImg.Must("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, source);
        for (var run = 0; run < Runs; run++)
        {
            File.Delete(target);
            var ours = await Tools.ByreAsync(
                "convert", "-c", "-m", "8", "-o", $"cluster_size={clusterSize},compression_type={type}", "-O", "qcow2", source, target);
            Assert.True(ours.Status == 0, ours.Errors);
            QemuImg.Must("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, target);
            QemuImg.Must("qemu-img", "check", "-f", "qcow2", target);
        }
    }
}
