using System.Diagnostics;
using System.Globalization;
using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd.Machine;

/// <summary>A virtual machine boots from a disk that Byre serves, checks its file system, writes to it, and goes off.</summary>
public sealed class MachineTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-vm-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [MachineFact]
    public async Task A_machine_boots_from_a_served_disk_and_its_file_system_is_sound()
    {
        await ExternalTool.RunAsync("bash", folder, Path.Combine(AppContext.BaseDirectory, "Nbd", "Machine", "make-disk.sh"), folder, MachineFactAttribute.Kernel!);
        await ExternalTool.RunAsync("qemu-img", folder, "convert", "-O", "qcow2", "disk.raw", "base.qcow2");
        await ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "disk.qcow2");
        var socket = Path.Combine(folder, "s");
        var start = new ProcessStartInfo(Path.Combine(await ByreLinks.DirectoryAsync(), "qemu-nbd"), ["-t", "-k", socket, "-f", "qcow2", "disk.qcow2"])
        {
            WorkingDirectory = folder,
        };
        using var server = Process.Start(start)!;
        string serial;
        try
        {
            var limit = Stopwatch.StartNew();
            while (!File.Exists(socket))
            {
                Assert.False(server.HasExited || limit.Elapsed > TimeSpan.FromMinutes(1), "no server");
                await Task.Delay(20);
            }

            serial = await BootAsync(socket, File.Exists("/dev/kvm")) ?? await BootAsync(socket, withKvm: false) ?? "";
            await ExternalTool.RunAsync("kill", folder, "-TERM", server.Id.ToString(CultureInfo.InvariantCulture));
            await server.WaitForExitAsync(new CancellationTokenSource(TimeSpan.FromMinutes(1)).Token);
            Assert.Equal(0, server.ExitCode);
        }
        finally
        {
            if (!server.HasExited)
            {
                server.Kill();
            }
        }

        Assert.True(serial.Contains("fsck 0", StringComparison.Ordinal), serial);
        var written = serial[(serial.IndexOf("written ", StringComparison.Ordinal) + 8)..][..32];

        // What the machine wrote is there, in an image and a file system that the real tools find sound.
        await ExternalTool.RunAsync("qemu-img", folder, "check", "disk.qcow2");
        await ExternalTool.RunAsync("qemu-img", folder, "convert", "-O", "raw", "disk.qcow2", "after.raw");
        await ExternalTool.RunAsync("dd", folder, "if=after.raw", "of=root.img", "bs=1M", "skip=25", "count=48", "status=none");
        await ExternalTool.RunAsync("e2fsck", folder, "-f", "-n", "root.img");
        await ExternalTool.RunAsync("debugfs", folder, "-R", "dump /written written", "root.img");
        Assert.StartsWith(written, await ExternalTool.RunAsync("md5sum", folder, "written"), StringComparison.Ordinal);
    }

    /// <summary>Boots the machine and waits until it is off.</summary>
    /// <returns>What it wrote to its serial line, or null where the host's KVM cannot run a boot loader's code (some nested ones).</returns>
    private async Task<string?> BootAsync(string socket, bool withKvm)
    {
        var start = new ProcessStartInfo("qemu-system-x86_64",
        [
            "-machine", withKvm ? "pc,accel=kvm:tcg" : "pc,accel=tcg", "-m", "256", "-no-reboot", "-nodefaults", "-display", "none",
            "-monitor", "none", "-serial", "stdio", "-drive", $"if=none,id=d,format=raw,file.driver=nbd,file.path={socket},file.reconnect-delay=0",
            "-device", "nvme,drive=d,serial=byre",
        ])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var machine = Process.Start(start)!;
        machine.StandardInput.Close();
        var output = machine.StandardOutput.ReadToEndAsync();
        var failed = new TaskCompletionSource();
        machine.ErrorDataReceived += (_, line) =>
        {
            if (line.Data?.Contains("KVM internal error", StringComparison.Ordinal) == true)
            {
                failed.TrySetResult();
            }
        };
        machine.BeginErrorReadLine();
        var ended = machine.WaitForExitAsync();
        var first = await Task.WhenAny(ended, failed.Task, Task.Delay(TimeSpan.FromMinutes(3)));
        if (first != ended)
        {
            machine.Kill();
            await ended;
            return first == failed.Task ? null : $"the machine does not end: {await output}";
        }

        return await output;
    }
}
