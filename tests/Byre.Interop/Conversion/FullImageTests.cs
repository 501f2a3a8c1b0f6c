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
    [LoopMountTheory]
    [InlineData("tmpfs", "4M", 80, 65536, 64 << 10)]
    [InlineData("tmpfs", "4M", 300, 16384, 32 << 20)]
    [InlineData("tmpfs", "4M", 80, 65536, 512 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 32 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 512 << 20)]
    public async Task A_server_keeps_what_it_acknowledged(string make, string size, int writes, int length, long stride)
    {
        var counts = new List<int>();
        foreach (var program in (string[])[await NbdServers.OursAsync(), NbdServers.Real])
        {
            using var mount = new LoopMount(make, size);
            var image = Create(mount, stride * writes);
            var written = new List<long>();
            var folder = Directory.CreateTempSubdirectory("byre-full-").FullName;
            try
            {
                await using var server = await NbdServerProcess.StartAsync(
                    program, folder, "-t", "-k", NbdServerProcess.SocketIn(folder), "-f", "qcow2", image);
                await using var client = await NbdClient.ConnectAsync(new NbdClientOptions { Address = NbdAddress.Unix(server.Socket) });
                for (var i = 0; i < writes; i++)
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

    [LoopMountTheory]
    [InlineData("tmpfs", "4M", 80, 65536, 64 << 10)]
    [InlineData("tmpfs", "4M", 300, 16384, 32 << 20)]
    [InlineData("tmpfs", "4M", 80, 65536, 512 << 20)]
    [InlineData("mkfs.ext4 -q -m 0", "8M", 120, 65536, 512 << 20)]
    public async Task An_image_that_is_written_in_place_keeps_what_was_acknowledged(string make, string size, int writes, int length, long stride)
    {
        var counts = new List<int>();
        foreach (var isOurs in (bool[])[true, false])
        {
            using var mount = new LoopMount(make, size);
            var image = Create(mount, stride * writes);
            string[] words = ["-t", "writeback", "-f", "qcow2", .. Commands(writes, stride, length), image];
            var (status, output, errors) = await IoProgramRun.RunAsync(isOurs ? IoProgramRun.Ours(words) : IoProgramRun.Peer(words), mount.Path);
            Assert.Equal((1, ""), (status, errors)); // writes have failed, and nothing else
            Assert.Contains("No space left on device", output, StringComparison.Ordinal);
            var written = Wrote().Matches(output).Select(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)).ToList();
            CheckAll(image, writes, written, length, stride);
            counts.Add(written.Count);
        }

        Assert.True(counts[0] >= counts[1], $"{counts[0]} writes found space, and with the real tool {counts[1]}");
    }

    private static IEnumerable<string> Commands(int writes, long stride, int length) =>
        Enumerable.Range(0, writes).SelectMany(i => (string[])["-c", $"write -P {PatternAt(i * stride, stride)} {i * stride} {length}"]);

    private static string Create(LoopMount mount, long size)
    {
        var image = Path.Combine(mount.Path, "image");
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
