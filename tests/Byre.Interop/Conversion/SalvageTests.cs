using System.Text.RegularExpressions;
using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>Sources with sectors that cannot be read.</summary>
public sealed partial class SalvageTests : IDisposable
{
    private const int Sector = 512;

    private static readonly int[] Bad = [4096, 4097, 8000, 16383];

    private readonly string directory = Directory.CreateTempSubdirectory("byre-salvage-").FullName;
    private readonly byte[] disk = new byte[16384 * Sector];
    private readonly string source;

    public SalvageTests()
    {
        new Random(3).NextBytes(disk);
        File.WriteAllBytes(At("disk"), disk);
        File.WriteAllLines(At("rules"), Bad.Select(s => $"[inject-error]\nevent = \"none\"\niotype = \"read\"\nerrno = \"5\"\nsector = \"{s}\"\nonce = \"off\"\n"));
        source = $"driver=raw,file.driver=blkdebug,file.config={At("rules")},file.image.driver=file,file.image.filename={At("disk")}";
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("raw", "")]
    [InlineData("qcow2", "")]
    [InlineData("qcow2", "-c")]
    [InlineData("qcow2", "-m 1")]
    [InlineData("raw", "-W")]
    public async Task What_can_be_read_arrives_and_each_lost_sector_is_told_as_qemu_img_does(string format, string options)
    {
        string[] words = ["convert", "--salvage", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--image-opts", "-O", format, source];
        var (status, _, errors) = QemuImg.Run("qemu-img", [.. words, At("theirs")]);
        var ours = await Tools.ByreAsync([.. words, At("ours")]);
        Assert.Equal(0, status);
        Assert.True(ours.Status == 0, ours.Errors);
        var expected = (byte[])disk.Clone();
        foreach (var sector in Bad)
        {
            expected.AsSpan(sector * Sector, Sector).Clear();
        }

        QemuImg.Must("qemu-img", "convert", "-f", format, "-O", "raw", At("ours"), At("ours.raw"));
        Assert.Equal(expected, File.ReadAllBytes(At("ours.raw")));

        // Ours tells the failing driver's words between the offset and the cause.
        static string[] Lines(string text) => [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(l => l[..l.IndexOf(':', "qemu-img: warning: ".Length)] + l[l.LastIndexOf(':')..])];
        // QEMU's requests run side by side, and so do its lines; ours come in the order of the disk.
        var ourLines = Lines(ours.Errors);
        Assert.Equal(Lines(errors).Order(StringComparer.Ordinal), ourLines.Order(StringComparer.Ordinal));
        if (options != "-W")
        {
            Assert.Equal(Bad.Select(s => $"{(long)s * Sector}"), ourLines.Select(l => Digits().Match(l).Value));
        }
    }

    [Fact]
    public async Task Quiet_says_nothing_of_them()
    {
        var ours = await Tools.ByreAsync("convert", "-q", "--salvage", "--image-opts", "-O", "raw", source, At("ours"));
        Assert.Equal((0, ""), (ours.Status, ours.Errors));
    }

    [Fact]
    public async Task Without_salvage_the_first_failure_of_the_disk_ends_it()
    {
        var ours = await Tools.ByreAsync("convert", "--image-opts", "-O", "raw", source, At("ours"));
        Assert.Equal(1, ours.Status);
        Assert.StartsWith("qemu-img: error while reading at byte 2097152: ", ours.Errors, StringComparison.Ordinal);
        Assert.Single(ours.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.False(File.Exists(At("ours")));
    }

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Digits();

    private string At(string name) => Path.Combine(directory, name);
}
