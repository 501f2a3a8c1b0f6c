using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>A target for which there is no space.</summary>
public sealed class FullDiskTests
{
    [LoopMountTheory]
    [InlineData("-O raw")]
    [InlineData("-O raw -S 0")]
    [InlineData("-O raw -o preallocation=full")]
    [InlineData("-O raw -o preallocation=falloc")]
    [InlineData("-O qcow2")]
    [InlineData("-O qcow2 -c")]
    [InlineData("-O qcow2 -W -m 16 -o cluster_size=512")]
    [InlineData("-O qcow2 -o preallocation=metadata")]
    [InlineData("-O qcow2 -o preallocation=full")]
    public async Task One_line_names_the_target_and_nothing_of_it_stays(string options)
    {
        using var mount = new LoopMount("tmpfs", "4M");
        var directory = Directory.CreateTempSubdirectory("byre-full-").FullName;
        try
        {
            var (source, target) = (Path.Combine(directory, "source"), Path.Combine(mount.Path, "target"));
            var bytes = new byte[6 << 20];
            new Random(1).NextBytes(bytes);
            File.WriteAllBytes(source, bytes);
            string[] words = ["convert", "-f", "raw", .. options.Split(' '), source, target];
            var theirs = QemuImg.Run("qemu-img", words);
            File.Delete(target);
            var ours = await Tools.ByreAsync(words);
            Assert.Equal((1, 1), (theirs.Status, ours.Status));
            Assert.Contains($"'{target}'", ours.Errors, StringComparison.Ordinal);
            Assert.Contains("No space left on device", ours.Errors, StringComparison.Ordinal);
            Assert.Equal(1, ours.Errors.Count(c => c == '\n'));
            Assert.Empty(Directory.GetFileSystemEntries(mount.Path));

            File.WriteAllText(target, "before");
            Assert.Equal(1, (await Tools.ByreAsync(words)).Status);
            Assert.Equal(0, new FileInfo(target).Length);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
