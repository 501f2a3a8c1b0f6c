using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>What our convert writes reads, for the real qemu-img, as its source does.</summary>
public sealed class ConvertTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-convert-").FullName;

    private static string Qemu => QemuImg.Programs[0];

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("raw", "raw", "")]
    [InlineData("raw", "qcow2", "")]
    [InlineData("raw", "qcow2", "-o cluster_size=4k,compat=0.10")]
    [InlineData("raw", "qcow2", "-o extended_l2=on,cluster_size=128k")]
    [InlineData("raw", "qcow2", "-c")]
    [InlineData("raw", "qcow2", "-c -o compression_type=zstd")]
    [InlineData("raw", "qcow2", "-S 0")]
    [InlineData("raw", "qcow2", "-W -m 2 -S 64k")]
    [InlineData("qcow2", "raw", "")]
    [InlineData("qcow2", "raw", "-C")]
    [InlineData("qcow2", "qcow2", "-o preallocation=metadata")]
    public async Task A_random_disk_arrives_as_it_was(string from, string to, string extra)
    {
        var raw = MakeDisk(extra.Length + to.Length);
        var source = raw;
        if (from == "qcow2")
        {
            source = InDirectory("source.qcow2");
            QemuImg.Must(Qemu, "convert", "-f", "raw", "-O", "qcow2", raw, source);
        }

        var target = InDirectory("target");
        var (status, _, errors) = await Tools.ByreAsync(["convert", "-f", from, "-O", to, .. extra.Split(' ', StringSplitOptions.RemoveEmptyEntries), source, target]);
        Assert.True(status == 0, errors);
        QemuImg.Must(Qemu, "compare", "-f", "raw", "-F", to, raw, target);
        if (to == "qcow2")
        {
            QemuImg.Must(Qemu, "check", "-f", to, target);
        }
    }

    [Fact]
    public async Task A_target_over_a_backing_file_holds_the_difference_only()
    {
        var lower = InDirectory("base.qcow2");
        var upper = InDirectory("top.qcow2");
        QemuImg.Must(Qemu, "convert", "-f", "raw", "-O", "qcow2", MakeDisk(3), lower);
        QemuImg.Must(Qemu, "create", "-q", "-f", "qcow2", "-b", lower, "-F", "qcow2", upper);
        QemuImg.Must("qemu-io", "-c", "write -P 7 1M 64k", "-c", "write -z 2M 64k", upper);
        var target = InDirectory("target");
        var (status, _, errors) = await Tools.ByreAsync("convert", "-O", "qcow2", "-B", lower, "-F", "qcow2", upper, target);
        Assert.True(status == 0, errors);
        QemuImg.Must(Qemu, "compare", upper, target);
        Assert.True(new FileInfo(target).Length < 1 << 20);
    }

    [Fact]
    public async Task Several_sources_are_joined()
    {
        var one = MakeDisk(5);
        var two = MakeDisk(6, "two.raw");
        var ours = InDirectory("ours");
        var theirs = InDirectory("theirs");
        Assert.Equal(0, (await Tools.ByreAsync("convert", "-f", "raw", "-O", "qcow2", one, two, ours)).Status);
        QemuImg.Must(Qemu, "convert", "-f", "raw", "-O", "qcow2", one, two, theirs);
        QemuImg.Must(Qemu, "compare", "-f", "qcow2", "-F", "qcow2", ours, theirs);
    }

    [Theory]
    [InlineData("-O qcow2 a b -C -c")]
    [InlineData("-S 4k -C a b")]
    [InlineData("-S 100 a b")]
    [InlineData("-m 17 a b")]
    [InlineData("-r x a b")]
    [InlineData("--target-image-opts a b")]
    [InlineData("-n -o x=y a b")]
    [InlineData("--target-is-zero a b")]
    [InlineData("-O foo a b")]
    [InlineData("-T bad a b")]
    [InlineData("-t bad a b")]
    [InlineData("-O qcow2 -B c a b")]
    [InlineData("-O raw -B c -F raw a b")]
    [InlineData("-c -O raw a b")]
    [InlineData("-n a b")]
    [InlineData("-l snap a b")]
    [InlineData("--skip-broken-bitmaps a b")]
    [InlineData("-o foo=1 a b")]
    [InlineData("-f qcow2 a b")]
    [InlineData("nothere b")]
    [InlineData("a a")]
    [InlineData("a /nodir/b")]
    [InlineData("-x a b")]
    [InlineData("a")]
    public async Task What_qemu_img_refuses_is_refused_and_leaves_no_target(string words)
    {
        var path = InDirectory("a");
        File.WriteAllBytes(path, new byte[1 << 20]);
        string[] arguments = [.. words.Split(' ').Select(w => w is "a" or "b" or "c" or "nothere" ? InDirectory(w) : w)];
        var (theirs, _, _) = QemuImg.Run(QemuImg.Programs[^1], ["convert", .. arguments]);
        Assert.Equal(1, theirs);
        File.Delete(InDirectory("b"));
        var (status, _, errors) = await Tools.ByreAsync(["convert", .. arguments]);
        Assert.Equal(1, status);
        Assert.StartsWith("qemu-img: ", errors, StringComparison.Ordinal);
        Assert.False(File.Exists(InDirectory("b")), errors);
        Assert.Equal(1 << 20, new FileInfo(path).Length);
    }

    private string InDirectory(string name) => Path.Combine(directory, name);

    private string MakeDisk(int seed, string name = "disk.raw")
    {
        var path = InDirectory(name);
        TestDisks.Make(path, (6 << 20) + 512, stretches: 12, seed);
        return path;
    }
}
