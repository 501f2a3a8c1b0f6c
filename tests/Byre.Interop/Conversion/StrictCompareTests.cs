using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>compare -s says what qemu-img says, the offset included.</summary>
public sealed class StrictCompareTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-strict-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(1, "")]
    [InlineData(3, "")]
    [InlineData(5, "-S 64k")]
    [InlineData(6, "-S 0")]
    [InlineData(7, "-c")]
    [InlineData(8, "-o preallocation=metadata")]
    [InlineData(9, "-o preallocation=full")]
    [InlineData(10, "-o extended_l2=on")]
    public async Task Joined_sources_compare_as_with_qemu_img(int seed, string options)
    {
        TestDisks.Make(At("one"), (6 << 20) + 512, 12, seed);
        TestDisks.Make(At("two"), (6 << 20) + 512, 12, seed + 100);
        string[] words = ["-f", "raw", "-O", "qcow2", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), At("one"), At("two")];
        Assert.Equal(0, (await Tools.ByreAsync(["convert", .. words, At("ours")])).Status);
        QemuImg.Must("qemu-img", ["convert", .. words, At("theirs")]);
        QemuImg.Must("sync", "-f", At("theirs")); // holes settle only then
        foreach (var (a, b) in new[] { ("ours", "theirs"), ("theirs", "ours"), ("ours", "ours"), ("one", "ours"), ("theirs", "one"), ("one", "two") })
        {
            foreach (var mode in new[] { "-U", "-s" })
            {
                var (status, output, _) = QemuImg.Run(QemuImg.Programs[^1], "compare", mode, At(a), At(b));
                var ours = await Tools.ByreAsync("compare", mode, At(a), At(b));
                Assert.Equal((a, b, mode, status, output), (a, b, mode, ours.Status, ours.Output));
            }
        }
    }

    private string At(string name) => Path.Combine(directory, name);
}
