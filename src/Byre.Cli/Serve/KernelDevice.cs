using Byre.Cli.Img;

namespace Byre.Cli.Serve;

/// <summary>-c and -d: the kernel's own NBD client. Its devices are there where the module nbd is loaded.</summary>
internal static class KernelDevice
{
    /// <summary>Says why a device cannot be connected.</summary>
    /// <param name="device">Its path.</param>
    public static ImgFailure Connect(string device) => Missing(device) ?? new ImgFailure(
        $"'{device}' cannot be connected by this program: serve the image with --socket, and let nbd-client connect the device ('nbd-client -unix PATH {device}')");

    /// <summary>Disconnects a device.</summary>
    /// <param name="device">Its path.</param>
    /// <exception cref="ImgFailure">There is none, or this program cannot.</exception>
    public static void Disconnect(string device) =>
        throw Missing(device) ?? new ImgFailure($"'{device}' cannot be disconnected by this program: 'nbd-client -d {device}' does it");

    private static ImgFailure? Missing(string device)
    {
        if (!Directory.Exists("/sys/module/nbd"))
        {
            return new ImgFailure($"Failed to open '{device}': this kernel has no NBD client (the module nbd is not loaded: 'modprobe nbd')");
        }

        return File.Exists(device) ? null : new ImgFailure($"Failed to open '{device}': No such file or directory");
    }
}
