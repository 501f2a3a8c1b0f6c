using Byre.Interop.Check;

namespace Byre.Interop.Conversion;

/// <summary>A theory that mounts file systems on loop devices; skipped, with the reason, where that is not permitted.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LoopMountTheoryAttribute : TheoryAttribute
{
    /// <summary>Looks whether there is such a file system.</summary>
    /// <param name="make">The command that makes it, without the file's name.</param>
    /// <param name="size">A size that it can have.</param>
    public LoopMountTheoryAttribute(string make = "mkfs.ext4 -q", string size = "32M") => Skip = Find(make, size);

    private static string? Find(string make, string size)
    {
        var directory = Directory.CreateTempSubdirectory("byre-mount-").FullName;
        try
        {
            var script = $"truncate -s {size} fs.img && {make} fs.img >/dev/null && mkdir m && mount -o loop fs.img m && umount m";
            var (status, _, errors) = QemuImg.Run("sh", "-c", $"PATH=$PATH:/usr/sbin:/sbin; cd '{directory}' && {script}");
            return status == 0 ? null : $"no file system of {make} can be mounted on a loop device here: {errors.Trim()}";
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
