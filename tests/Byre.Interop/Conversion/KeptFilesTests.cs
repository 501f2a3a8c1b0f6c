using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>What convert must never touch: the files it reads, and those it could not even begin to write.</summary>
public sealed class KeptFilesTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-kept-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("-U base base")]
    [InlineData("-U base hard-link")]
    [InlineData("-U base symbolic-link")]
    [InlineData("-U top base")]
    [InlineData("-U -o data_file=base top new")]
    public async Task A_file_that_is_read_is_never_the_target(string words)
    {
        var disk = At("base");
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", disk, "4M");
        QemuImg.Must("qemu-io", "-c", "write -P 5 0 1M", disk);
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "qcow2", At("top"));
        QemuImg.Must("ln", disk, At("hard-link"));
        QemuImg.Must("ln", "-s", disk, At("symbolic-link"));
        var before = File.ReadAllBytes(disk);
        var result = await Tools.ByreAsync(["convert", "-O", "qcow2", .. words.Split(' ').Select(Place)]);
        Assert.Equal(1, result.Status);
        Assert.Contains("is read by this copy", result.Errors, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(disk));
        Assert.False(File.Exists(At("new")));
    }

    [Theory]
    [InlineData("-O qcow2 -o cluster_size=3k")]
    [InlineData("-O qcow2 -o nothing=1")]
    [InlineData("-O qcow2 -c -o preallocation=full")]
    [InlineData("-O qcow2 -B missing -F raw")]
    [InlineData("-O raw -c")]
    [InlineData("-O qcow2 -c -o data_file=new")]
    public async Task A_refusal_comes_before_a_file_that_is_there_is_emptied(string options)
    {
        QemuImg.Must("qemu-img", "create", "-q", "-f", "raw", At("base"), "1M");
        File.WriteAllText(At("target"), "precious");
        var result = await Tools.ByreAsync(["convert", "-f", "raw", .. options.Split(' ').Select(Place), At("base"), At("target")]);
        Assert.Equal(1, result.Status);
        Assert.Equal("precious", File.ReadAllText(At("target")));
    }

    [Fact]
    public async Task What_contradicts_itself_is_no_success_though_qemu_img_says_so()
    {
        // qemu-img prints an error, copies nothing and ends with 0: a script goes on without its data.
        QemuImg.Must("qemu-img", "create", "-q", "-f", "raw", At("base"), "1M");
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", At("target"), "1M");
        string[] words = ["convert", "-n", "--target-is-zero", "-B", At("base"), "-F", "raw", "-f", "raw", "-O", "qcow2", At("base"), At("target")];
        Assert.Equal(0, QemuImg.Run("qemu-img", words).Status);
        var ours = await Tools.ByreAsync(words);
        Assert.Equal(1, ours.Status);
        Assert.Contains("--target-is-zero", ours.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_somebody_uses_is_not_emptied()
    {
        QemuImg.Must("qemu-img", "create", "-q", "-f", "raw", At("base"), "1M");
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", At("target"), "1M");
        var before = File.ReadAllBytes(At("target"));
        using var holder = await Io.IoProgramRun.HoldAsync(Io.IoProgramRun.Peer(At("target")), directory);
        var result = await Tools.ByreAsync("convert", "-f", "raw", "-O", "raw", At("base"), At("target"));
        await holder.StandardInput.WriteLineAsync("quit");
        await holder.WaitForExitAsync();
        Assert.Equal(1, result.Status);
        Assert.Equal(before, File.ReadAllBytes(At("target")));
    }

    private string At(string name) => Path.Combine(directory, name);

    private string Place(string word) =>
        word.StartsWith("data_file=", StringComparison.Ordinal) ? "data_file=" + At(word["data_file=".Length..])
        : word is "base" or "top" or "new" or "hard-link" or "symbolic-link" or "missing" ? At(word) : word;
}
