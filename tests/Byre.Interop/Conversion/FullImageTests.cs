using System.Globalization;
using System.Text.RegularExpressions;
using Byre.Interop.Check;
using Byre.Interop.Io;
using Byre.Interop.Nbd;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Interop.Conversion;

/// <summary>
/// Images on a disk that data has filled: what was acknowledged can be flushed, and is there, as with the real tools. The writes
/// lie so far from each other that each changes another part of a table, or needs a table of its own.
/// </summary>
public sealed partial class FullImageTests
{
    private const string Btrfs = "mkfs.btrfs -q";
    private const string Xfs = "mkfs.xfs -q";

    [LoopMountTheory]
    [InlineData("tmpfs", "4M", 80, 65536, 64 << 10)]
    [InlineData("tmpfs", "4M", 300, 16384, 32 << 20)]
    [InlineData("tmpfs", "4M", 80, 65536, 512 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 32 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 512 << 20)]
    public Task A_server_keeps_what_it_acknowledged(string make, string size, int writes, int length, long stride) =>
        ServeAsync(() => new LoopMount(make, size), writes, length, stride);

    /// <summary>The image cannot become longer than its device.</summary>
    [LoopMountTheory]
    [InlineData(80, 65536, 64 << 10)]
    [InlineData(300, 16384, 32 << 20)]
    [InlineData(80, 65536, 512 << 20)]
    public Task A_server_keeps_what_it_acknowledged_on_a_device(int writes, int length, long stride) =>
        ServeAsync(() => new LoopDevice("4M"), writes, length, stride);

    [LoopMountTheory(Xfs, "300M")]
    [InlineData(120, 65536, 64 << 10)]
    [InlineData(120, 65536, 512 << 20)]
    public Task A_server_keeps_what_it_acknowledged_on_xfs(int writes, int length, long stride) =>
        ServeAsync(() => new LoopMount(Xfs, "300M", left: 4096), writes, length, stride);

    /// <summary>Where btrfs writes in place it is as others are.</summary>
    [LoopMountTheory(Btrfs, "128M")]
    [InlineData(120, 65536, 64 << 10)]
    [InlineData(120, 65536, 512 << 20)]
    public Task A_server_keeps_what_it_acknowledged_on_btrfs_that_writes_in_place(int writes, int length, long stride) =>
        ServeAsync(() => new LoopMount(Btrfs, "128M", "nodatacow", left: 4096), writes, length, stride);

    /// <summary>
    /// A file system that never writes in place needs space for what changes too. When it is full a flush fails, and says so; what
    /// was flushed before is there, and once there is space again a flush brings the rest.
    /// </summary>
    [LoopMountTheory(Btrfs, "128M")]
    [InlineData(true, 64 << 10)]
    [InlineData(false, 64 << 10)]
    [InlineData(true, 512 << 20)]
    [InlineData(false, 512 << 20)]
    public async Task A_server_on_btrfs_loses_nothing_that_was_flushed(bool getsSpace, long stride)
    {
        const int writes = 120;
        const int length = 65536;
        using var mount = new LoopMount(Btrfs, "128M", left: 4096);
        var image = Create(mount.Path + "/image", stride * writes);
        var written = new List<long>();
        var flushed = 0;
        var folder = Directory.CreateTempSubdirectory("byre-full-").FullName;
        try
        {
            await using var server = await NbdServerProcess.StartAsync(
                await NbdServers.OursAsync(), folder, "-t", "-k", NbdServerProcess.SocketIn(folder), "-f", "qcow2", image);
            await using var client = await NbdClient.ConnectAsync(new NbdClientOptions { Address = NbdAddress.Unix(server.Socket) });
            await WriteAsync(client, 0, 10, length, stride, written);
            await client.FlushAsync();
            flushed = written.Count;
            await WriteAsync(client, 10, writes, length, stride, written);
            if (getsSpace)
            {
                File.Delete(mount.Path + "/filler");
                LoopMount.Shell($"sync -f '{mount.Path}'"); // its space is free when the deletion is written
                await client.FlushAsync();
                flushed = written.Count;
            }
            else if (await HasSpaceAsync(client))
            {
                flushed = written.Count;
            }

            await client.DisconnectAsync();
            var status = await server.StopAsync();
            Assert.True(flushed < written.Count ? status == 1 && server.Errors.Contains("No space left on device", StringComparison.Ordinal) : (status, server.Errors) == (0, ""), $"{status} {server.Errors}");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        Assert.InRange(flushed, 10, writes - 1);
        CheckAll(image, writes, written[..flushed], length, stride);
    }

    [LoopMountTheory]
    [InlineData("tmpfs", "4M", 80, 65536, 64 << 10)]
    [InlineData("tmpfs", "4M", 300, 16384, 32 << 20)]
    [InlineData("tmpfs", "4M", 80, 65536, 512 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 512 << 20)]
    public Task An_image_that_is_written_in_place_keeps_what_was_acknowledged(string make, string size, int writes, int length, long stride) =>
        WriteInPlaceAsync(() => new LoopMount(make, size), writes, length, stride);

    [LoopMountTheory]
    [InlineData(80, 65536, 64 << 10)]
    [InlineData(300, 16384, 32 << 20)]
    public Task An_image_that_is_written_in_place_keeps_what_was_acknowledged_on_a_device(int writes, int length, long stride) =>
        WriteInPlaceAsync(() => new LoopDevice("4M"), writes, length, stride);

    [LoopMountTheory(Xfs, "300M")]
    [InlineData(120, 65536, 512 << 20)]
    public Task An_image_that_is_written_in_place_keeps_what_was_acknowledged_on_xfs(int writes, int length, long stride) =>
        WriteInPlaceAsync(() => new LoopMount(Xfs, "300M", left: 4096), writes, length, stride);

    private static async Task ServeAsync(Func<IDisposable> make, int writes, int length, long stride)
    {
        var counts = new List<int>();
        foreach (var program in (string[])[await NbdServers.OursAsync(), NbdServers.Real])
        {
            using var place = make();
            var image = Create(ImageIn(place), stride * writes);
            var written = new List<long>();
            var folder = Directory.CreateTempSubdirectory("byre-full-").FullName;
            try
            {
                await using var server = await NbdServerProcess.StartAsync(
                    program, folder, "-t", "-k", NbdServerProcess.SocketIn(folder), "-f", "qcow2", image);
                await using var client = await NbdClient.ConnectAsync(new NbdClientOptions { Address = NbdAddress.Unix(server.Socket) });
                await WriteAsync(client, 0, writes, length, stride, written);
                await client.FlushAsync();
                await client.DisconnectAsync();
                Assert.Equal((0, ""), (await server.StopAsync(), server.Errors));
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }

            CheckAll(image, writes, written, length, stride);
            counts.Add(written.Count);
        }

        Assert.True(counts[0] >= counts[1], $"{counts[0]} writes found space, and with the real server {counts[1]}");
    }

    private static async Task WriteAsync(NbdClient client, int first, int end, int length, long stride, List<long> written)
    {
        for (var i = first; i < end; i++)
        {
            try
            {
                await client.WriteAsync(i * stride, Enumerable.Repeat(PatternAt(i * stride, stride), length).ToArray());
                written.Add(i * stride);
            }
            catch (BlockException e) when (e.Code == ErrorCode.NoSpace)
            {
                // The others may lie in a table that is there.
            }
        }
    }

    private static async Task<bool> HasSpaceAsync(NbdClient client)
    {
        try
        {
            await client.FlushAsync();
            return true;
        }
        catch (BlockException e) when (e.Code == ErrorCode.NoSpace)
        {
            return false;
        }
    }

    private static async Task WriteInPlaceAsync(Func<IDisposable> make, int writes, int length, long stride)
    {
        var counts = new List<int>();
        foreach (var isOurs in (bool[])[true, false])
        {
            using var place = make();
            var image = Create(ImageIn(place), stride * writes);
            string[] words = ["-t", "writeback", "-f", "qcow2", .. Commands(writes, stride, length), image];
            var (status, output, errors) = await IoProgramRun.RunAsync(isOurs ? IoProgramRun.Ours(words) : IoProgramRun.Peer(words), "/");
            Assert.Equal((1, ""), (status, errors)); // writes have failed, and nothing else
            Assert.Contains("No space left on device", output, StringComparison.Ordinal);
            var written = Wrote().Matches(output).Select(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)).ToList();
            CheckAll(image, writes, written, length, stride);
            counts.Add(written.Count);
        }

        Assert.True(counts[0] >= counts[1], $"{counts[0]} writes found space, and with the real tool {counts[1]}");
    }

    private static string ImageIn(IDisposable place) => place is LoopMount mount ? Path.Combine(mount.Path, "image") : ((LoopDevice)place).Path;

    private static IEnumerable<string> Commands(int writes, long stride, int length) =>
        Enumerable.Range(0, writes).SelectMany(i => (string[])["-c", $"write -P {PatternAt(i * stride, stride)} {i * stride} {length}"]);

    private static string Create(string image, long size)
    {
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", image, $"{size + (1 << 20)}");
        return image;
    }

    private static byte PatternAt(long offset, long stride) => (byte)(1 + (offset / stride % 250));

    private static void CheckAll(string image, int writes, List<long> written, int length, long stride)
    {
        Assert.InRange(written.Count, 5, writes - 1); // the disk became full
        QemuImg.Must("qemu-img", "check", "-q", image);
        string[] reads = [.. written.SelectMany(at => (string[])["-c", $"read -q -P {PatternAt(at, stride)} {at} {length}"])];
        var (status, output, errors) = QemuImg.Run("qemu-io", ["-r", "-f", "qcow2", .. reads, image]);
        Assert.Equal((0, "", ""), (status, output, errors));
    }

    [GeneratedRegex(@"^wrote \d+/\d+ bytes at offset (\d+)", RegexOptions.Multiline)]
    private static partial Regex Wrote();
}
