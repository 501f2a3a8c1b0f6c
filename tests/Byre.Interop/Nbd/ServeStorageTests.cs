using System.Net.Sockets;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>byre serve from end to end: options that only it has, and what its images can lie on.</summary>
public sealed class ServeStorageTests : IDisposable
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");

    private readonly string folder = Directory.CreateTempSubdirectory("byre-storage-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>With the option the extents of all contexts have the same lengths; without it each is as long as it can be.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Contexts_are_aligned_where_that_is_wanted(bool isAligned)
    {
        await RunAsync(
            "qemu-img create -q -f qcow2 base.q 4M; qemu-io -f qcow2 -c 'write -q 0 1M' -c 'write -q 2M 64k' base.q; qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q;"
                + "qemu-img bitmap --add top.q b; qemu-io -f qcow2 -c 'write -q 512k 128k' -c 'write -q -z 3M 64k' top.q");
        await using var server = await StartAsync(["-t", "-A", "-B", "b", "-f", "qcow2", .. isAligned ? ["--align-contexts"] : Array.Empty<string>(), "top.q"]);
        string[] contexts = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b"];
        await using var client = await NbdClient.ConnectAsync(new NbdClientOptions { Address = NbdAddress.Unix(server.Socket), MetaContexts = contexts });
        Assert.Equal(3, client.Contexts.Count);
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(0, 4 << 20, NbdCommandFlags.None, sink);
        var lengths = Enumerable.Range(0, 3).Select(i => string.Join(' ', sink.Of(i).Select(e => e.Length))).ToList();
        Assert.Equal(isAligned ? 1 : 3, lengths.Distinct().Count());
        Assert.All(Enumerable.Range(0, 3), i => Assert.Equal(4L << 20, sink.Of(i).Sum(e => (long)e.Length)));
    }

    [Theory]
    [InlineData("-e", "2")]
    [InlineData("--max-connections", "2")]
    [InlineData("--max-connections", "2", "-e", "9")]
    public async Task No_more_clients_are_served_at_a_time_than_is_said(params string[] words)
    {
        await RunAsync("truncate -s 1M r.raw");
        await using var server = await StartAsync(["-t", "-f", "raw", .. words, "r.raw"]);
        await using var first = await ConnectAsync(server);
        await using var second = await ConnectAsync(server);
        using var third = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await third.ConnectAsync(new UnixDomainSocketEndPoint(server.Socket));
        Assert.False(third.Poll(TimeSpan.FromMilliseconds(500), SelectMode.SelectRead), "the third client is greeted");
        await second.DisconnectAsync();
        Assert.True(third.Poll(TimeSpan.FromSeconds(30), SelectMode.SelectRead), "the third client is not greeted when the second has left");
        await first.ReadAsync(0, new byte[512]);
    }

    [Fact]
    public async Task An_export_is_resized_where_that_is_wanted()
    {
        await RunAsync("truncate -s 1M r.raw f.raw; qemu-img create -q -f qcow2 i.q 1M");
        await using (var server = await StartAsync(
            "-t", "-e", "0", "--export", "name=r,file=r.raw,format=raw,resize=on", "--export", "name=f,file=f.raw,format=raw", "--export", "name=i,file=i.q,format=qcow2,resize=on"))
        {
            foreach (var name in (string[])["r", "i"])
            {
                await using var client = await ConnectAsync(server, name);
                Assert.True((client.Flags & NbdTransmissionFlags.SendResize) != 0);
                await client.ResizeAsync(3 << 20);
                await client.WriteAsync((3 << 20) - 512, Enumerable.Repeat((byte)7, 512).ToArray());
                Assert.Equal(3 << 20, client.Size);
                await client.ResizeAsync(2 << 20);
                await client.ResizeAsync(4 << 20);
                var end = new byte[1 << 20];
                await client.ReadAsync(2 << 20, end);
                Assert.False(end.AsSpan().ContainsAnyExcept((byte)0), "what was cut off is there again");
                await using var other = await ConnectAsync(server, name);
                Assert.Equal(4 << 20, other.Size);
                Assert.Equal(ErrorCode.NotPermitted, (await Assert.ThrowsAsync<BlockException>(async () => await client.ResizeAsync(1 << 20))).Code);
            }

            await using var fixedSize = await ConnectAsync(server, "f");
            Assert.True((fixedSize.Flags & NbdTransmissionFlags.SendResize) == 0);
            await Assert.ThrowsAsync<BlockException>(async () => await fixedSize.ResizeAsync(2 << 20));
            Assert.Equal(0, await server.StopAsync());
        }

        Assert.Equal((4L << 20, 1L << 20), (new FileInfo(Path.Combine(folder, "r.raw")).Length, new FileInfo(Path.Combine(folder, "f.raw")).Length));
        await RunAsync("qemu-img check -q i.q; qemu-img info i.q | grep -q 'virtual size: 4 MiB'");
    }

    /// <summary>Around the page cache every offset and length works all the same, and the file is opened so (O_DIRECT).</summary>
    [Theory]
    [InlineData("none", "raw")]
    [InlineData("directsync", "raw")]
    [InlineData("none", "qcow2")]
    [InlineData("directsync", "qcow2")]
    public async Task Files_are_served_around_the_page_cache(string cache, string format)
    {
        await RunAsync($"qemu-img create -q -f {format} disk 8M");
        var model = new byte[8 << 20];
        var random = new Random(11);
        await using (var server = await StartAsync("-t", "-e", "0", $"--cache={cache}", "-f", format, "disk"))
        {
            Assert.True(await OpensAroundCacheAsync(server.ProcessId), "the file is not opened with O_DIRECT");
            await using var client = await ConnectAsync(server);
            for (var i = 0; i < 150; i++)
            {
                var length = random.Next(3) == 0 ? random.Next(1, 300_000) : random.Next(1, 9000);
                var offset = random.Next(model.Length - length);
                switch (random.Next(4))
                {
                    case 0:
                        await client.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? NbdCommandFlags.NoHole : NbdCommandFlags.None);
                        model.AsSpan(offset, length).Clear();
                        break;
                    case 1:
                        var read = new byte[length];
                        await client.ReadAsync(offset, read);
                        Assert.True(read.AsSpan().SequenceEqual(model.AsSpan(offset, length)), $"step {i}");
                        break;
                    default:
                        random.NextBytes(model.AsSpan(offset, length));
                        await client.WriteAsync(offset, model.AsMemory(offset, length), random.Next(5) == 0 ? NbdCommandFlags.Fua : NbdCommandFlags.None);
                        break;
                }
            }

            await client.FlushAsync();
            await client.DisconnectAsync();
            Assert.Equal(0, await server.StopAsync());
        }

        await File.WriteAllBytesAsync(Path.Combine(folder, "model"), model);
        await RunAsync($"qemu-img compare -q -f {format} -F raw disk model");
    }

    /// <summary>On a device, or on a file of another file system, byre serve does what qemu-nbd does.</summary>
    [LoopTheory]
    [InlineData("device")]
    [InlineData("device --cache=none")]
    [InlineData("device --cache=directsync")]
    [InlineData("device --discard=unmap")]
    [InlineData("xfs")]
    [InlineData("xfs --cache=none --discard=unmap")]
    [InlineData("btrfs")]
    [InlineData("btrfs --cache=none --discard=unmap")]
    public async Task Devices_and_file_systems_serve_as_with_the_real_server(string place)
    {
        var words = place.Split(' ', 2);
        var script = $$"""
            set -e
            if [ {{words[0]}} = device ]; then
              truncate -s 8M back; disk=$(losetup -f --show back); trap 'losetup -d $disk' EXIT
            else
              command -v mkfs.{{words[0]}} >/dev/null || { echo missing; exit 0; }
              truncate -s 400M fs; mkfs.{{words[0]}} -q fs >/dev/null; mkdir m; mount -o loop fs m || { echo missing; exit 0; }
              trap 'umount m' EXIT; disk=m/disk; truncate -s 8M $disk
            fi
            "$@" --fork --pid-file=$PWD/p -t -e 4 -k $PWD/s {{(words.Length > 1 ? words[1] : "")}} -f raw $disk
            u="nbd+unix:///?socket=$PWD/s"
            nbdinfo --size "$u"
            qemu-io -f raw -c 'write -P 1 0 2M' -c 'write -P 2 3M 5000' -c 'write -P 3 4194305 3' -c 'write -z 1M 64k' -c 'write -z -u 1536k 64k' -c 'discard 512k 128k' -c flush "$u" >/dev/null
            qemu-io -f raw -c 'read -P 1 0 512k' -c 'read -P 2 3M 5000' -c 'read -P 3 4194305 3' -c 'read -P 0 1M 64k' -c 'read -P 0 1536k 64k' -c 'read -P 1 8191k 1k' "$u" | grep -c 'Pattern verification failed' || true
            nbdcopy "$u" - | sha256sum
            nbdinfo --map "$u" | awk '{print $3}' | sort -u
            kill $(cat p); for i in $(seq 600); do [ -e p ] && kill -0 $(cat p) 2>/dev/null || break; sleep .1; done
            sha256sum <$disk
            """;
        var outputs = new List<string>();
        foreach (var server in (string[][])[[Program, "serve"], [NbdServers.Real]])
        {
            var inside = Directory.CreateDirectory(Path.Combine(folder, outputs.Count == 0 ? "ours" : "real")).FullName;
            var (status, output, error) = await ExternalTool.TryRunAsync("bash", inside, ["-c", script, "case", .. server]);
            Assert.True(status == 0, $"{server[0]}: {error}");
            Assert.NotEqual("missing\n", output); // ./test installs the file systems' tools
            outputs.Add(output);
        }

        Assert.Equal(outputs[1], outputs[0]);
        Assert.StartsWith("8388608\n1\n", outputs[0], StringComparison.Ordinal);
    }

    /// <summary>Looks at the flags of the descriptor that leads to the disk.</summary>
    private async Task<bool> OpensAroundCacheAsync(int process)
    {
        var (_, output, _) = await ExternalTool.TryRunAsync(
            "bash", folder, ["-c", $"for f in /proc/{process}/fd/*; do [ \"$(readlink $f)\" = \"$PWD/disk\" ] && grep flags /proc/{process}/fdinfo/${{f##*/}}; done"]);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Any(line => (Convert.ToInt64(line.Split('\t')[1].Trim(), 8) & 0x4000) != 0);
    }

    private static Task<NbdClient> ConnectAsync(NbdServerProcess server, string export = "") =>
        NbdClient.ConnectAsync(new NbdClientOptions { Address = NbdAddress.Unix(server.Socket), ExportName = export });

    private Task<NbdServerProcess> StartAsync(params IEnumerable<string> words) =>
        NbdServerProcess.StartAsync(Program, folder, ["serve", "-k", NbdServerProcess.SocketIn(folder), .. words]);

    private async Task RunAsync(string script)
    {
        var (status, _, error) = await ExternalTool.TryRunAsync("bash", folder, ["-ec", script]);
        Assert.True(status == 0, error);
    }
}
