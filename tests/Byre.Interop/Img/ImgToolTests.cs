using System.Text.RegularExpressions;

namespace Byre.Interop.Img;

/// <summary>Our image tool and the real one, on the same images.</summary>
public sealed partial class ImgToolTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-img-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("qcow2", "compat=1.1")]
    [InlineData("qcow2", "compat=0.10")]
    [InlineData("qcow2", "extended_l2=on,lazy_refcounts=on,cluster_size=128k,refcount_bits=1")]
    [InlineData("raw", "preallocation=off")]
    public async Task Info_tells_the_same(string format, string options)
    {
        var image = Path.Combine(directory, "image");
        Assert.Equal(0, Tools.Qemu(directory, "create", "-f", format, "-o", options, image, "10M").Status);
        await SameAsync("info", "-f", format, image);
        await SameAsync("info", "--output=json", "-f", format, image);
    }

    [Fact]
    public async Task Info_tells_the_same_of_a_chain_with_bitmaps()
    {
        var lower = Path.Combine(directory, "base");
        var upper = Path.Combine(directory, "top");
        Tools.Qemu(directory, "create", "-f", "qcow2", lower, "10M");
        Tools.Qemu(directory, "bitmap", "--add", lower, "b0");
        Tools.Qemu(directory, "bitmap", "--add", "--disable", "-g", "4096", lower, "b1");
        Tools.Qemu(directory, "create", "-f", "qcow2", "-b", "base", "-F", "qcow2", upper);
        await SameAsync("info", upper);
        await SameAsync("info", "--backing-chain", upper);
        await SameAsync("info", "--backing-chain", "--output=json", upper);
    }

    [Fact]
    public async Task Map_tells_the_same_of_a_chain()
    {
        var lower = Path.Combine(directory, "base");
        var upper = Path.Combine(directory, "top");
        Tools.Qemu(directory, "create", "-f", "qcow2", lower, "6M");
        Tools.QemuIo(directory, lower, "write 64k 192k", "write -z 1M 128k", "write -z -u 3M 64k");
        Tools.Qemu(directory, "create", "-f", "qcow2", "-b", "base", "-F", "qcow2", upper, "10M");
        Tools.QemuIo(directory, upper, "write 128k 64k", "write 8M 1M", "write -z 2M 64k");
        await SameAsync("map", upper);
        Tools.QemuIo(directory, upper, "write -c 5M 64k");
        await SameAsync("map", "--output=json", upper);
        await SameAsync("map", "--output=json", "--start-offset=1M", "--max-length", "1.5M", upper);
    }

    /// <summary>QEMU's tools leave out what follows the last whole sector; nothing of theirs makes such an image.</summary>
    [Fact]
    public async Task Map_ends_where_a_qcow2_disk_ends_that_has_no_whole_sectors()
    {
        var image = Path.Combine(directory, "image");
        Tools.Qemu(directory, "create", "-f", "qcow2", image, "64k");
        Tools.QemuIo(directory, image, "write 0 64k");
        using (var file = File.OpenWrite(image))
        {
            file.Position = 24 + 6; // the size in the header, in its last two bytes
            file.Write([0x12, 0x35]);
            file.Position = 24 + 5;
            file.Write([0]);
        }

        var (status, output, _) = await Tools.ByreAsync(["map", "--output=json", image]);
        Assert.Equal(0, status);
        Assert.Equal(
            $"[{{ \"start\": 0, \"length\": {0x1235}, \"depth\": 0, \"present\": true, \"zero\": false, \"data\": true, \"compressed\": false, \"offset\": 327680}}]\n",
            output);
    }

    [Fact]
    public async Task Compare_finds_the_same_difference()
    {
        var a = Path.Combine(directory, "a");
        var b = Path.Combine(directory, "b");
        Tools.Qemu(directory, "create", "-f", "qcow2", a, "10M");
        Tools.Qemu(directory, "create", "-f", "raw", b, "12M");
        Tools.QemuIo(directory, a, "write -P 7 1M 3M");
        await SameAsync("compare", "-f", "qcow2", "-F", "raw", a, b);
        Tools.QemuIo(directory, b, "write -P 7 1M 3M");
        await SameAsync("compare", "-f", "qcow2", "-F", "raw", a, b);
        await SameAsync("compare", "-s", "-f", "qcow2", "-F", "raw", a, b);
        Tools.QemuIo(directory, b, "write -P 8 2562560 512");
        await SameAsync("compare", "-f", "qcow2", "-F", "raw", a, b);
        await SameAsync("compare", "-q", "-f", "qcow2", "-F", "raw", a, b);
        await SameAsync("compare", "-f", "qcow2", "-F", "raw", a, Path.Combine(directory, "missing"));
    }

    [Fact]
    public async Task Check_gives_the_same_summary_and_status()
    {
        var image = Path.Combine(directory, "image");
        Tools.Qemu(directory, "create", "-f", "qcow2", image, "10M");
        Tools.QemuIo(directory, image, "write 0 1M", "write 5M 64k");
        await SameAsync("check", image);
        await SameAsync("check", "--output=json", image);
        using (var file = File.OpenHandle(image, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.Write(file, new byte[8], 0x40000); // the first L2 entry: its cluster is leaked
        }

        Assert.Equal(3, (await Tools.ByreAsync("check", image)).Status);
        await SameAsync("check", image);
        var raw = Path.Combine(directory, "raw");
        Tools.Qemu(directory, "create", "-f", "raw", raw, "1M");
        await SameAsync("check", "-f", "raw", raw);
    }

    [Theory]
    [InlineData("--size", "1G", "-O", "qcow2")]
    [InlineData("--size", "1T", "-O", "qcow2", "-o", "cluster_size=2M,refcount_bits=1")]
    [InlineData("--size", "1000", "-O", "raw", "--output=json")]
    [InlineData("--size", "1G", "-O", "qcow2", "-o", "extended_l2=on,preallocation=full", "--output=json")]
    [InlineData("--size", "1G", "image")]
    public Task Measure_gives_the_same_sizes(params string[] words) => SameAsync(["measure", .. words]);

    [Fact]
    public async Task Create_and_resize_do_the_same_to_raw_images()
    {
        var image = Path.Combine(directory, "image");
        await SameAsync("create", image, "1.5M");
        await SameAsync("resize", "-f", "raw", image, "+1M");
        Assert.Equal(3670016, new FileInfo(image).Length); // both tools did it
        await SameAsync("resize", "-f", "raw", image, "1M");
        await SameAsync("resize", "-f", "raw", "--shrink", image, "1M");
        Assert.Equal(1 << 20, new FileInfo(image).Length);
        await SameAsync("create", image);
        await SameAsync("create", image, "1Q");
        await SameAsync("create", "-f", "nonsense", image, "1M");
    }

    /// <summary>Both give the same output and status; what QEMU 10 tells and older ones do not is left out.</summary>
    private async Task SameAsync(params string[] words)
    {
        var theirs = Tools.Qemu(directory, words);
        var ours = await Tools.ByreAsync(words);
        Assert.True(theirs.Status == ours.Status, $"{string.Join(' ', words)}: {theirs.Status} {theirs.Errors} / {ours.Status} {ours.Errors}");
        Assert.Equal(Common(theirs.Output), Common(ours.Output));
        Assert.True(ours.Errors.Length == 0 || ours.Status != 0, ours.Errors);
    }

    private static string Common(string output)
    {
        output = output.Replace(", \"compressed\": false", "", StringComparison.Ordinal).Replace(", \"compressed\": true", "", StringComparison.Ordinal);
        output = HumanChildren().Replace(output, "");
        return JsonChildren().Replace(output, "");
    }

    [GeneratedRegex("Child node '/file':\n(    .*\n)+")]
    private static partial Regex HumanChildren();

    [GeneratedRegex(@"^( *)""children"": \[\n(\1 .*\n)*\1\],\n", RegexOptions.Multiline)]
    private static partial Regex JsonChildren();
}
