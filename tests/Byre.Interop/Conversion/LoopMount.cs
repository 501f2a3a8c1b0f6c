using Byre.Interop.Check;

namespace Byre.Interop.Conversion;

/// <summary>A new file system on a loop device, mounted until it is disposed of.</summary>
internal sealed class LoopMount : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-loop-").FullName;

    /// <summary>Makes and mounts it.</summary>
    /// <param name="make">The command that makes it, without the file's name; or "tmpfs", which needs no device.</param>
    /// <param name="size">Its size, as truncate takes it.</param>
    /// <param name="options">How it is mounted, besides "loop".</param>
    /// <param name="left">The space that is left in it, in KiB, and taken by a file named filler else; 0 for all that there is.</param>
    public LoopMount(string make, string size, string options = "", int left = 0)
    {
        Path = System.IO.Path.Combine(directory, "m");
        var loop = options.Length == 0 ? "loop" : "loop," + options;
        try
        {
            Shell(make == "tmpfs" ? $"mkdir '{Path}' && mount -t tmpfs -o size={size} tmpfs '{Path}'" : $"cd '{directory}' && truncate -s {size} fs.img && {make} fs.img >/dev/null 2>&1 && mkdir m && mount -o {loop} fs.img m");
        }
        catch
        {
            Directory.Delete(directory, recursive: true);
            throw;
        }

        if (left > 0)
        {
            Shell($"cd '{Path}' && fallocate -l $(( $(stat -f -c '%a * %S' .) - ({left} << 10) )) filler");
        }
    }

    /// <summary>Where it is.</summary>
    public string Path { get; }

    /// <summary>Runs a script that must succeed.</summary>
    /// <returns>What it printed.</returns>
    public static string Shell(string script)
    {
        var (status, output, errors) = QemuImg.Run("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; " + script);
        return status == 0 ? output : throw new InvalidOperationException($"{script}: {status} {errors}");
    }

    public void Dispose()
    {
        Shell($"umount '{Path}'");
        Directory.Delete(directory, recursive: true);
    }
}
