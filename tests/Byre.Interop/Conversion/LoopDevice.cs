using Byre.Interop.Check;

namespace Byre.Interop.Conversion;

/// <summary>A block device until it is disposed of.</summary>
internal sealed class LoopDevice : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-device-").FullName;

    /// <summary>Makes it.</summary>
    /// <param name="size">Its size, as truncate takes it.</param>
    public LoopDevice(string size)
    {
        var (status, output, errors) = QemuImg.Run("sh", "-c", $"PATH=$PATH:/usr/sbin:/sbin; cd '{directory}' && truncate -s {size} back && losetup -f --show back");
        if (status != 0)
        {
            Directory.Delete(directory, recursive: true);
            throw new InvalidOperationException($"losetup: {status} {errors}");
        }

        Path = output.Trim();
    }

    /// <summary>Its name.</summary>
    public string Path { get; }

    public void Dispose()
    {
        LoopMount.Shell($"losetup -d '{Path}'");
        Directory.Delete(directory, recursive: true);
    }
}
