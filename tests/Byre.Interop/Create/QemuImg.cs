using System.Diagnostics;

namespace Byre.Interop.Create;

/// <summary>Runs the qemu-img of this system.</summary>
internal static class QemuImg
{
    internal static async Task<string> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("qemu-img", arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"qemu-img {string.Join(' ', arguments)}: {await errors}{output}");
        return output;
    }
}
