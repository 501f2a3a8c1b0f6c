using System.Text.RegularExpressions;

namespace Byre.Interop.Io;

/// <summary>`byre io` prints what the real qemu-io prints, ends as it does, and leaves the same bytes.</summary>
public sealed partial class IoOutputTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-io-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("read -P 0x5a 0 4k")]
    [InlineData("read -P 0x11 0 4k")]
    [InlineData("read -v 1000 40")]
    [InlineData("read -q 0 1M")]
    [InlineData("write -P 0x33 1k 3k")]
    [InlineData("write -z 64k 64k")]
    [InlineData("write -z -u 128k 64k")]
    [InlineData("write -f 8k 512")]
    [InlineData("writev -P 7 0 512 1k 512")]
    [InlineData("readv -v 0 16 16")]
    [InlineData("aio_write -P 9 4k 4k|aio_flush|read -P 9 4k 4k")]
    [InlineData("discard 0 64k")]
    [InlineData("flush")]
    [InlineData("length")]
    [InlineData("truncate 2M|length")]
    [InlineData("map")]
    [InlineData("alloc 0 1M")]
    [InlineData("read 1M 512")]
    [InlineData("read 0")]
    [InlineData("write -P 300 0 512")]
    [InlineData("nonsense 1 2")]
    [InlineData("read 100 5k")]
    public async Task Prints_what_qemu_io_prints(string commands)
    {
        var arguments = new List<string> { "-f", "raw" };
        foreach (var command in commands.Split('|'))
        {
            arguments.AddRange(["-c", command]);
        }

        var content = new byte[1 << 20];
        Array.Fill<byte>(content, 0x5a, 0, 512 * 1024);
        await File.WriteAllBytesAsync(Path.Combine(folder, "a.img"), content);
        var peer = await IoProgramRun.RunAsync(IoProgramRun.Peer([.. arguments, "a.img"]), folder);
        var left = await File.ReadAllBytesAsync(Path.Combine(folder, "a.img"));
        await File.WriteAllBytesAsync(Path.Combine(folder, "a.img"), content);
        var ours = await IoProgramRun.RunAsync(IoProgramRun.Ours([.. arguments, "a.img"]), folder);

        Assert.Equal(Settle(peer.Output), Settle(ours.Output));
        Assert.Equal(peer.Status, ours.Status);
        Assert.Equal(left, await File.ReadAllBytesAsync(Path.Combine(folder, "a.img")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_image_that_one_holds_for_writing_is_refused_to_the_other(bool peerHolds)
    {
        // A raw image is shared by both programs; a format keeps others from writing below it.
        var made = await IoProgramRun.RunAsync(("qemu-img", ["create", "-q", "-f", "qcow2", "held.img", "1M"]), folder);
        Assert.Equal(0, made.Status);
        string[] open = ["-f", "qcow2", "held.img"];
        string[] read = ["-f", "qcow2", "-c", "read -P 0 0 512", "held.img"];
        using var holder = await IoProgramRun.HoldAsync(peerHolds ? IoProgramRun.Peer(open) : IoProgramRun.Ours(open), folder);
        try
        {
            var refused = await IoProgramRun.RunAsync(peerHolds ? IoProgramRun.Ours(read) : IoProgramRun.Peer(read), folder);
            Assert.Equal(1, refused.Status);
            Assert.Contains("held.img", refused.Errors, StringComparison.Ordinal);
            string[] shared = ["-r", "-U", .. read];
            var allowed = await IoProgramRun.RunAsync(peerHolds ? IoProgramRun.Ours(shared) : IoProgramRun.Peer(shared), folder);
            Assert.Equal((0, ""), (allowed.Status, allowed.Errors));
        }
        finally
        {
            holder.StandardInput.Close();
            await holder.WaitForExitAsync();
        }

        var free = await IoProgramRun.RunAsync(peerHolds ? IoProgramRun.Ours(read) : IoProgramRun.Peer(read), folder);
        Assert.Equal((0, ""), (free.Status, free.Errors));
    }

    /// <summary>Takes out what differs between two runs of one program: times and rates.</summary>
    private static string Settle(string output) => Times().Replace(output, "; TIME (RATE)");

    [GeneratedRegex(@"; [0-9:.]+( sec)? \([^)]*\)|,[0-9]+:[0-9:.]+,[0-9.]+,[0-9.]+$", RegexOptions.Multiline)]
    private static partial Regex Times();
}
