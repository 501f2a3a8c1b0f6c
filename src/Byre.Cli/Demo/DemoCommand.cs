using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Byre.Cli.Demo;

/// <summary><c>byre demo</c>: what Byre does, on a disk made from files of this machine. It leaves nothing behind.</summary>
internal static class DemoCommand
{
    private const int Interrupted = 130;

    /// <summary>Runs the demo. 0: every step did what it promises; 1: one did not; 130: interrupted.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length > 0)
        {
            var wantsHelp = args[0] is "-h" or "--help";
            await (wantsHelp ? Console.Out : Console.Error).WriteLineAsync(
                wantsHelp ? "usage: byre demo\nMakes a disk, images and a chain of them in a temporary folder, and removes it." : "byre demo: it takes no arguments")
                .ConfigureAwait(false);
            return wantsHelp ? 0 : 1;
        }

        using var stop = new CancellationTokenSource();
        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal);
        var folder = "";
        try
        {
            folder = Directory.CreateTempSubdirectory("byre-demo-").FullName;
            await ShowAsync(folder, stop.Token).ConfigureAwait(false);
            return 0;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("byre demo: interrupted").ConfigureAwait(false);
            return Interrupted;
        }
        catch (Exception e) when (e is DemoException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync("byre demo: " + e.Message).ConfigureAwait(false);
            return 1;
        }
        finally
        {
            if (folder.Length > 0)
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    private static async Task ShowAsync(string folder, CancellationToken stop)
    {
        var watch = Stopwatch.StartNew();
        var screen = new DemoScreen();
        var tools = new DemoTools(folder, screen, stop);
        var disk = new DemoDisk(folder, screen, tools);

        screen.Step("A disk from files of this machine");
        await disk.MakeAsync("disk.raw").ConfigureAwait(false);

        screen.Step("A chain of three qcow2 images: the disk, and two days of changes");
        await tools.ByreAsync(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "sunday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["create", "-f", "qcow2", "-b", "sunday.qcow2", "-F", "qcow2", "monday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["io", "-f", "qcow2", "-c", "write -P 0x4d 200M 3M", "monday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["create", "-f", "qcow2", "-b", "monday.qcow2", "-F", "qcow2", "tuesday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["io", "-f", "qcow2", "-c", "write -P 0x54 201M 512k", "-c", "write -z 202M 1M", "tuesday.qcow2"]).ConfigureAwait(false);

        screen.Step("What lies where");
        await tools.ByreAsync(["info", "--backing-chain", "tuesday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["map", "-f", "qcow2", "tuesday.qcow2"]).ConfigureAwait(false);

        screen.Step("Are the images sound?");
        foreach (var image in new[] { "sunday.qcow2", "monday.qcow2", "tuesday.qcow2" })
        {
            await tools.ByreAsync(["check", "-f", "qcow2", image], show: false).ConfigureAwait(false);
        }

        screen.Found("three images without an error or a leak");

        screen.Step("What did the two days change?");
        await tools.ByreAsync(["compare", "disk.raw", "sunday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "disk.raw", "tuesday.qcow2"], expectedStatus: 1).ConfigureAwait(false);
        screen.Found("sunday is the disk; tuesday differs from where monday wrote, as it must");

        screen.Step("The whole chain as one compressed image, and back to a plain disk");
        await tools.ByreAsync(["convert", "-c", "-O", "qcow2", "tuesday.qcow2", "packed.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "tuesday.qcow2", "packed.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["convert", "-O", "raw", "packed.qcow2", "restored.raw"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "tuesday.qcow2", "restored.raw"]).ConfigureAwait(false);
        var sunday = new FileInfo(Path.Combine(folder, "sunday.qcow2")).Length;
        var packed = new FileInfo(Path.Combine(folder, "packed.qcow2")).Length;
        screen.Found(string.Create(CultureInfo.InvariantCulture, $"{Mebibytes(sunday)} became {Mebibytes(packed)}, with the same content"));

        var tour = new DemoTour(folder, screen, tools);
        await tour.SnapshotAsync().ConfigureAwait(false);
        await tour.BitmapAsync().ConfigureAwait(false);
        await tour.ServeAsync().ConfigureAwait(false);
        await tour.CopyAsync().ConfigureAwait(false);
        await tour.CommitAsync().ConfigureAwait(false);
        await tour.EncryptAsync().ConfigureAwait(false);

        screen.Step("What others say");
        await AskOthersAsync(screen, tools, disk).ConfigureAwait(false);

        screen.Step(string.Create(CultureInfo.InvariantCulture, $"Done in {watch.Elapsed.TotalSeconds:F1} s; nothing is left in {folder}"));
    }

    private static async Task AskOthersAsync(DemoScreen screen, DemoTools tools, DemoDisk disk)
    {
        if (disk.HasFileSystem && DemoTools.Find("e2fsck") is { } e2fsck)
        {
            screen.Command("e2fsck -f -n restored.raw");
            var (status, output) = await tools.RunAsync(e2fsck, ["-f", "-n", "restored.raw"]).ConfigureAwait(false);
            if (status != 0)
            {
                screen.Output(output, 10);
                throw new DemoException($"e2fsck found the restored file system damaged (status {status})");
            }

            screen.Found("e2fsck: the file system that went through the chain and back is whole");
        }

        if (DemoTools.Find("qemu-img") is not { } qemu)
        {
            screen.Note("qemu-img is not on this machine: nobody else was asked about the images");
            return;
        }

        foreach (var arguments in new string[][]
        {
            ["check", "-q", "packed.qcow2"],
            ["check", "-q", "work.qcow2"],
            ["check", "-q", "monday.qcow2"],
            ["compare", "tuesday.qcow2", "packed.qcow2"],
            ["compare", "--object", DemoTour.Key, "--image-opts", "driver=raw,file.filename=restored.raw", DemoTour.Vault],
        })
        {
            screen.Command("qemu-img " + string.Join(' ', arguments));
            var (status, output) = await tools.RunAsync(qemu, arguments).ConfigureAwait(false);
            if (status != 0)
            {
                screen.Output(output, 10);
                throw new DemoException($"qemu-img {arguments[0]} does not agree (status {status})");
            }
        }

        screen.Found("qemu-img finds the images sound and the contents equal");
    }

    private static string Mebibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:F1} MiB");
}
