using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>Several clients at once: fio's jobs with verification, and flushes that cover what other connections wrote.</summary>
public sealed class LoadTests : IDisposable
{
    private readonly NbdComparison comparison = new();
    private readonly string folder = Directory.CreateTempSubdirectory("byre-nbd-load-").FullName;

    public void Dispose()
    {
        comparison.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    [InlineData("luks")]
    public Task Fio_finds_what_it_wrote(string image) => comparison.SameAsync(
        image,
        """
        size=$(($(nbdinfo --size "$uri") / 4))
        run() { fio --ioengine=nbd --uri="$uri" --thread --size=$size --offset_increment=$size --numjobs=4 --verify=crc32c --verify_fatal=1 \
            --group_reporting --randseed=7 "$@" >log 2>&1; echo "= $?"; grep -i -e 'verify: bad' -e error= log; true; }
        run --name=small --rw=randwrite --bs=4k --iodepth=32 --fsync=64
        run --name=mixed --rw=randrw --bs=16k --iodepth=8
        run --name=large --rw=write --bs=256k --iodepth=4
        run --name=trimmed --rw=randtrim --bs=64k --iodepth=4
        """,
        """case "$local" in *qcow2*) qemu-img check -q ${local/-f qcow2/}; echo "= $?";; esac""");

    [Theory]
    [InlineData("raw")]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    public Task Four_connections_see_each_others_writes(string image) => comparison.SameAsync(
        image,
        "/usr/bin/python3 $scripts/connections.py \"$uri\"",
        "qemu-img convert $local -O raw copy.raw && sha256sum copy.raw");

    /// <summary>A flush on one connection makes durable what all have written: the server is killed, and the image has it.</summary>
    [Theory]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    [InlineData("external-data")]
    public async Task A_flush_covers_the_writes_of_every_connection(string name)
    {
        var image = ServedImage.Find(name);
        await ServedImage.CopyAllAsync(folder);
        await using (var server = await NbdServerProcess.StartAsync(await NbdServers.OursAsync(), folder, image.Arguments(folder)))
        {
            await ExternalTool.RunAsync(
                "/usr/bin/python3", folder, "-c",
                """
                import sys, nbd
                handles = [nbd.NBD() for _ in range(4)]
                for handle in handles:
                    handle.connect_uri(sys.argv[1])
                    assert handle.can_multi_conn()
                for i, handle in enumerate(handles[:3]):
                    for k in range(16):
                        handle.pwrite(bytes([100 + i]) * 65536, (i * 16 + k) * 65536)
                handles[3].flush()
                handles[0].pwrite(bytes([1]) * 65536, 60 * 65536)
                """,
                server.Uri());
            await server.SignalAsync("KILL");
            await server.WaitAsync();
        }

        var file = image.Words.Split(' ')[^1];
        Assert.True((await ExternalTool.TryRunAsync("qemu-img", folder, ["check", "-q", file])).Status is 0 or 3, "only leaks");
        await ExternalTool.RunAsync("qemu-io", folder, "-r", "-c", "read -P 100 0 1M", "-c", "read -P 101 1M 1M", "-c", "read -P 102 2M 1M", file);
    }

    [Fact]
    public async Task Nbd_client_lists_the_exports() =>
        Assert.Equal(
            "Negotiation: ..\nnamed: described\n= 0\n",
            await comparison.SameAsync("bitmap-of-backing", "nbd-client -l -unix $socket; echo \"= $?\""));
}
