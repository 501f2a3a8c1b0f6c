using System.Globalization;
using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>Where the file system can, a copy shares blocks with its source.</summary>
public sealed class ReflinkTests
{
    private const int Length = 32 << 20;
    private const string Xfs = "mkfs.xfs -q -m reflink=1";
    private const string Btrfs = "mkfs.btrfs -q";

    [LoopMountTheory]
    [InlineData(Xfs, "raw", "raw", "")]
    [InlineData(Xfs, "raw", "qcow2", "")]
    [InlineData(Xfs, "raw", "qcow2", "-C")]
    [InlineData(Xfs, "raw", "qcow2", "-t none")]
    [InlineData(Xfs, "qcow2", "raw", "-t none -T none")]
    [InlineData(Xfs, "raw", "qcow2", "-o extended_l2=on,cluster_size=128k")]
    [InlineData(Xfs, "qcow2", "raw", "")]
    [InlineData(Xfs, "qcow2", "qcow2", "")]
    [InlineData(Btrfs, "raw", "raw", "")]
    [InlineData(Btrfs, "raw", "qcow2", "")]
    public async Task Blocks_are_shared(string make, string from, string to, string options)
    {
        using var mount = new LoopMount(make, "400M");
        var (raw, source, target) = (Path.Combine(mount.Path, "disk.raw"), Path.Combine(mount.Path, "source"), Path.Combine(mount.Path, "target"));
        MakeDisk(raw);
        QemuImg.Must("qemu-img", "convert", "-f", "raw", "-O", from, raw, source);
        var result = await Tools.ByreAsync(
            ["convert", "-f", from, "-O", to, .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), source, target]);
        Assert.True(result.Status == 0, result.Errors);
        QemuImg.Must("qemu-img", "compare", "-f", "raw", "-F", to, raw, target);
        if (to == "qcow2")
        {
            QemuImg.Must("qemu-img", "check", "-f", "qcow2", target);
        }

        // The data is the first half, and some scattered blocks that need not be.
        Assert.InRange(SharedBytes(target), Length / 2, Length);
    }

    [LoopMountTheory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task Another_file_system_gets_a_copy(string to)
    {
        using var mount = new LoopMount(Xfs, "400M");
        using var other = new LoopMount(Btrfs, "400M");
        var (raw, target) = (Path.Combine(mount.Path, "disk.raw"), Path.Combine(other.Path, "target"));
        MakeDisk(raw);
        foreach (var option in new[] { "-q", "-C" })
        {
            var result = await Tools.ByreAsync("convert", option, "-f", "raw", "-O", to, raw, target);
            Assert.True(result.Status == 0, result.Errors);
            QemuImg.Must("qemu-img", "compare", "-f", "raw", "-F", to, raw, target);
        }
    }

    private static void MakeDisk(string path)
    {
        var random = new Random(5);
        using var file = File.Create(path);
        file.SetLength(Length);
        var half = new byte[Length / 2];
        random.NextBytes(half);
        file.Write(half);
        for (var i = 0; i < 20; i++)
        {
            file.Position = (Length / 2) + random.Next(Length / 2 - 8192); // neither clusters nor blocks
            file.Write(half, i * 5000, 5000);
        }
    }

    private static long SharedBytes(string path)
    {
        var report = LoopMount.Shell($"sync -f '{path}' && filefrag -b4096 -v '{path}'");
        return report.Split('\n').Where(l => l.Contains("shared", StringComparison.Ordinal))
            .Sum(l => long.Parse(l.Split(':')[3].Trim(), CultureInfo.InvariantCulture) * 4096);
    }
}
