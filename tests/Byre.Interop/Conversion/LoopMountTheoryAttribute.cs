using Byre.Interop.Check;

namespace Byre.Interop.Conversion;

/// <summary>A theory that mounts file systems on loop devices; skipped, with the reason, where that is not permitted.</summary>
internal sealed class LoopMountTheoryAttribute : TheoryAttribute
{
    private static readonly Lazy<string?> Obstacle = new(Find);

    public LoopMountTheoryAttribute() => Skip = Obstacle.Value;

    private static string? Find()
    {
        var directory = Directory.CreateTempSubdirectory("byre-mount-").FullName;
        try
        {
            var script = "truncate -s 32M fs.img && mkfs.ext4 -q fs.img && mkdir m && mount -o loop fs.img m && umount m";
            var (status, _, errors) = QemuImg.Run("sh", "-c", $"PATH=$PATH:/usr/sbin:/sbin; cd '{directory}' && {script}");
            return status == 0 ? null : $"no file system can be mounted on a loop device here: {errors.Trim()}";
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
