using Byre.Interop.Check;
using Byre.Interop.Img;
using Byre.TestTools;

namespace Byre.Interop.Conversion;

/// <summary>checksum against the system's digests of what qemu-img converts to raw bytes.</summary>
public sealed class ChecksumTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-checksum-").FullName;

    public ChecksumTests()
    {
        // Data, holes and data of zeroes, in a file that is not whole clusters long.
        var random = new Random(5);
        using var file = File.Create(At("a.raw"));
        file.SetLength((5 << 20) + 512);
        var piece = new byte[300_000];
        foreach (var offset in new[] { 0, 1 << 20, 4_900_000 })
        {
            random.NextBytes(piece);
            file.Position = offset;
            file.Write(piece);
        }

        file.Position = 2 << 20;
        file.Write(new byte[1 << 20]);
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("qcow2", "")]
    [InlineData("qcow2", "cluster_size=512")]
    [InlineData("qcow2", "cluster_size=2M,extended_l2=on")]
    [InlineData("qcow2", "compat=0.10")]
    [InlineData("raw", "")]
    public async Task The_digest_is_that_of_the_raw_content_whatever_the_format(string format, string options)
    {
        string[] more = options.Length > 0 ? ["-o", options] : [];
        QemuImg.Must("qemu-img", ["convert", "-f", "raw", "-O", format, .. more, At("a.raw"), At("b")]);
        Assert.Equal($"{await TheirsAsync("sha256sum", "b", format)}  {At("b")}\n", await OursAsync("-f", format, At("b")));
    }

    [Theory]
    [InlineData("md5")]
    [InlineData("sha1")]
    [InlineData("sha256")]
    [InlineData("sha384")]
    [InlineData("sha512")]
    public async Task The_hash_can_be_chosen(string hash) =>
        Assert.Equal($"{await TheirsAsync(hash + "sum", "a.raw", "raw")}  {At("a.raw")}\n", await OursAsync("-f", "raw", "--hash", hash, At("a.raw")));

    [Fact]
    public async Task Holes_and_layers_make_no_difference()
    {
        QemuImg.Must("qemu-img", "convert", "-S", "0", "-f", "raw", "-O", "raw", At("a.raw"), At("full"));
        QemuImg.Must("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", At("a.raw"), At("packed"));
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", "-b", At("packed"), "-F", "qcow2", At("top"));
        Tools.QemuIo(directory, At("top"), "write -P 7 64k 64k", "write -z 1M 64k");
        QemuImg.Must("qemu-img", "convert", "-O", "raw", At("top"), At("flat"));
        var digests = (await OursAsync(At("full"), At("packed"), At("a.raw"), At("top"), At("flat"))).Split('\n').Select(l => l.Split(' ')[0]).ToList();
        Assert.Equal(digests[0], digests[1]);
        Assert.Equal(digests[0], digests[2]);
        Assert.Equal(digests[3], digests[4]);
        Assert.NotEqual(digests[0], digests[3]);
    }

    [Fact]
    public async Task A_snapshot_has_a_digest_of_its_own()
    {
        QemuImg.Must("qemu-img", "convert", "-f", "raw", "-O", "qcow2", At("a.raw"), At("b"));
        var before = (await OursAsync(At("b"))).Split(' ')[0];
        QemuImg.Must("qemu-img", "snapshot", "-c", "s", At("b"));
        Tools.QemuIo(directory, At("b"), "write -P 7 64k 64k");
        Assert.NotEqual(before, (await OursAsync(At("b"))).Split(' ')[0]);
        Assert.Equal(before, (await OursAsync("-l", "s", At("b"))).Split(' ')[0]);
    }

    [Fact]
    public async Task The_answer_as_JSON()
    {
        var digest = await TheirsAsync("sha256sum", "a.raw", "raw");
        var expected = $"{{\n    \"filename\": \"{At("a.raw")}\",\n    \"format\": \"raw\",\n    \"virtual-size\": {(5 << 20) + 512},\n    \"hash\": \"sha256\",\n    \"checksum\": \"{digest}\"\n}}\n";
        Assert.Equal(expected, await OursAsync("--json", "-f", "raw", At("a.raw")));
        Assert.Equal(expected, await OursAsync("--output=json", "-f", "raw", At("a.raw")));
    }

    [Fact]
    public async Task Images_that_cannot_be_read_do_not_keep_the_others_from_it()
    {
        var digest = await TheirsAsync("sha256sum", "a.raw", "raw");
        File.WriteAllBytes(At("bad"), [.. "QFI"u8, 0xfb, 0, 0, 0, 9]); // no such version
        var (good, bad, missing) = (At("a.raw"), At("bad"), At("missing"));
        var text = await Tools.ByreAsync(["checksum", missing, good, bad, good]);
        Assert.Equal((1, $"{digest}  {good}\n{digest}  {good}\n"), (text.Status, text.Output));
        var lines = text.Errors.Split('\n');
        Assert.Equal(3, lines.Length);
        Assert.Equal($"qemu-img: Could not open '{missing}': No such file or directory", lines[0]);

        var json = await Tools.ByreAsync(["checksum", "--output=json", "-f", "raw", missing, good]);
        Assert.Equal((1, lines[0] + "\n"), (json.Status, json.Errors));
        using var answers = System.Text.Json.JsonDocument.Parse(json.Output);
        Assert.Equal([digest], answers.RootElement.EnumerateArray().Select(a => a.GetProperty("checksum").GetString()));
        var none = await Tools.ByreAsync(["checksum", "--json", missing, missing]);
        Assert.Equal((1, "[\n]\n"), (none.Status, none.Output));

        // What is wrong with the command line is no matter of an image.
        var wrong = await Tools.ByreAsync(["checksum", "-T", "no", missing, good]);
        Assert.Equal((1, "", 1), (wrong.Status, wrong.Output, wrong.Errors.Count(c => c == '\n')));
    }

    [Theory]
    [InlineData("There is no hash 'sha0' here (see checksum --help)", "--hash", "sha0", "a.raw")]
    [InlineData("checksum: name an image (see 'qemu-img checksum --help')")]
    [InlineData("Could not open 'missing': No such file or directory", "missing")]
    [InlineData("--image-opts and --format exclude each other", "--image-opts", "-f", "raw", "file.filename=a.raw")]
    public async Task What_cannot_be_done_is_told_in_one_line(string message, params string[] words)
    {
        var result = await Tools.ByreAsync(["checksum", .. words]);
        Assert.Equal((1, "", $"qemu-img: {message}\n"), (result.Status, result.Output, result.Errors));
    }

    private async Task<string> OursAsync(params string[] words)
    {
        var result = await Tools.ByreAsync(["checksum", .. words]);
        Assert.True(result is { Status: 0, Errors: "" }, result.Errors);
        return result.Output;
    }

    private async Task<string> TheirsAsync(string program, string name, string format)
    {
        QemuImg.Must("qemu-img", "convert", "-f", format, "-O", "raw", At(name), At("bytes"));
        return (await ExternalTool.RunAsync(program, directory, "bytes")).Split(' ')[0];
    }

    private string At(string name) => Path.Combine(directory, name);
}
