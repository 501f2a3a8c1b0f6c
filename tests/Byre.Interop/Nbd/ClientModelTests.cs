using Byre.Interop.Cases;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Interop.Nbd;

/// <summary>Byre's client at the servers of others: what is read is what a model says, whatever the server can and cannot do.</summary>
public sealed class ClientModelTests : IDisposable
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-client-").FullName;
    private readonly int seed = Environment.GetEnvironmentVariable("BYRE_SEED") is { Length: > 0 } given
        ? int.Parse(given, System.Globalization.CultureInfo.InvariantCulture) : Random.Shared.Next();

    public static TheoryData<string> Servers => [.. PeerServer.Names];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [MemberData(nameof(Servers))]
    [Qemu10Data("newer qemu-nbd raw")]
    [Qemu10Data("newer qemu-nbd qcow2")]
    public async Task Reads_writes_zeroes_and_discards_agree_with_a_model(string name)
    {
        var (started, export) = await PeerServer.StartAsync(name, folder);
        await using var server = started;
        var model = new byte[PeerServer.DiskLength];
        var options = OptionsFor(server, export);
        foreach (var blocking in PeerServer.IsForOne(name) ? [false] : new[] { false, true })
        {
            var node = await NbdNode.OpenAsync(options with { Blocking = blocking });
            await using var edge = new BlockEdge(node, ChildRole.None, Everything);
            Assert.Equal(PeerServer.DiskLength, edge.Length);
            await CheckAsync(edge, model, name);
            await WorkAsync(edge, model, (seed * 2) + (blocking ? 1 : 0), name);
            await edge.FlushAsync();
            await CheckAsync(edge, model, name);
        }

        if (PeerServer.IsForOne(name))
        {
            Assert.Equal(model, await File.ReadAllBytesAsync(Path.Combine(folder, "disk.raw")));
            return;
        }

        await using var again = new BlockEdge(await NbdNode.OpenAsync(options with { ReadOnly = true, Connections = 1 }), ChildRole.None, Everything);
        await CheckAsync(again, model, name);
    }

    [Theory]
    [InlineData("pattern", "8M", "--newstyle")]
    [InlineData("pattern", "8M", "--oldstyle")]
    [InlineData("sparse-random", "64M", "--newstyle")]
    public async Task What_nbdkit_makes_up_is_read_as_qemu_img_reads_it(string plugin, string size, string style)
    {
        string[] arguments = ["-r", style, plugin, "size=" + size, .. (plugin == "pattern" ? Array.Empty<string>() : ["seed=7"])];
        await using var server = await PeerServer.NbdkitAsync(folder, arguments);
        await TestTools.ExternalTool.RunAsync("qemu-img", folder, "convert", "-f", "raw", "-O", "raw", server.Uri(), "copy.raw");
        var model = await File.ReadAllBytesAsync(Path.Combine(folder, "copy.raw"));
        await using var edge = new BlockEdge(await NbdNode.OpenAsync(OptionsFor(server, "") with { ReadOnly = true }), ChildRole.None, Everything);
        await CheckAsync(edge, model, plugin);
    }

    [Fact]
    public async Task Errors_of_a_server_are_told_and_all_else_is_right()
    {
        await using var server = await PeerServer.NbdkitAsync(
            folder, "--filter=error", "pattern", "size=8M", "error-pread=EIO", "error-pread-rate=30%");
        await using var edge = new BlockEdge(await NbdNode.OpenAsync(OptionsFor(server, "") with { ReadOnly = true }), ChildRole.None, Everything);
        var failed = 0;
        for (var i = 0; i < 200; i++)
        {
            var bytes = new byte[4096];
            var at = i * 8192L;
            try
            {
                await edge.ReadAsync(at, bytes);
                for (var k = 0; k < bytes.Length; k += 8)
                {
                    Assert.Equal(at + k, System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(k)));
                }
            }
            catch (BlockException e)
            {
                Assert.Equal(5, e.Errno);
                failed++;
            }
        }

        Assert.InRange(failed, 5, 150);
    }

    [Fact]
    public async Task A_server_that_ends_after_its_last_client_ends_when_the_node_is_closed()
    {
        await using var server = await PeerServer.NbdkitAsync(folder, "--filter=exitlast", "memory", "16M");
        await using (var edge = new BlockEdge(await NbdNode.OpenAsync(OptionsFor(server, "")), ChildRole.None, Everything))
        {
            var bytes = new byte[16 << 20];
            for (var i = 0; i < 5; i++)
            {
                await edge.ReadAsync(0, bytes);
            }
        }

        Assert.Equal(0, await server.WaitAsync());
    }

    [Theory]
    [InlineData("older")]
    [Qemu10Data("newer")]
    public async Task Several_contexts_are_read_at_once(string which)
    {
        await TestTools.ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "raw", "base.raw", "4M");
        await TestTools.ExternalTool.RunAsync("qemu-io", folder, "-f", "raw", "-c", "write -P 1 0 1M", "base.raw");
        await TestTools.ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2");
        await TestTools.ExternalTool.RunAsync("qemu-img", folder, "bitmap", "--add", "top.qcow2", "b");
        await TestTools.ExternalTool.RunAsync("qemu-io", folder, "-f", "qcow2", "-c", "write -P 2 512k 1M", "-c", "write -z 3M 512k", "top.qcow2");
        await using var server = await NbdServerProcess.StartAsync(
            which == "older" ? NbdServers.Older : NbdServers.Real, folder, PeerServer.Qemu(folder, "qcow2", "top.qcow2", "-A", "-B", "b"));
        var options = OptionsFor(server, "") with { MetaContexts = ["qemu:allocation-depth", "qemu:dirty-bitmap:b"], ReadOnly = true };
        await using var node = await NbdNode.OpenAsync(options);
        Assert.Equal(["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b"], node.Contexts.Select(context => context.Name));
        var reader = node.ReadExtents();
        var found = new List<(long, long, bool Zero, bool Dirty, int Depth)>();
        for (long at = 0; at < node.Length;)
        {
            var extent = await reader.AtAsync(at, node.Length);
            found.Add((extent.Start, extent.Length, extent.Zero, extent.Dirty, extent.Depth));
            at += extent.Length;
        }

        Assert.Equal(
            [
                (0, 512 << 10, false, false, 2), (512 << 10, 1 << 20, false, true, 1), (1536 << 10, 1536 << 10, true, false, 2),
                (3 << 20, 512 << 10, true, true, 1), (3584 << 10, 512 << 10, true, false, 2),
            ],
            found);
        Assert.Equal(1, reader.Questions);
    }

    private static NbdNodeOptions OptionsFor(NbdServerProcess server, string export) => new()
    {
        Client = new NbdClientOptions { Address = NbdAddress.Unix(server.Socket), ExportName = export },
    };

    /// <summary>Eight workers, each in a part of its own, with everything the server offers.</summary>
    private static async Task WorkAsync(BlockEdge edge, byte[] model, int seed, string name)
    {
        const int workers = 8;
        const int part = PeerServer.DiskLength / workers / 65536 * 65536;
        await Task.WhenAll(Enumerable.Range(0, workers).Select(worker => Task.Run(async () =>
        {
            var random = new Random(seed + worker);
            var start = worker * part;
            for (var i = 0; i < 25; i++)
            {
                var longest = random.Next(3) switch { 0 => 600, 1 => 70_000, _ => part };
                var at = random.Next(part - 1);
                var length = Math.Min(part - at, random.Next(1, longest));
                at += start;
                switch (random.Next(5))
                {
                    case 0 or 1:
                        var data = new byte[length];
                        random.NextBytes(data);
                        data.CopyTo(model, at);
                        await edge.WriteAsync(at, data, random.Next(4) == 0 ? WriteFlags.Fua : WriteFlags.None);
                        break;
                    case 2:
                        model.AsSpan(at, length).Clear();
                        await edge.WriteZeroesAsync(at, length, random.Next(2) == 0 ? WriteFlags.MayUnmap : WriteFlags.None);
                        break;
                    case 3:
                        // What a discarded range reads as is the server's affair: zeroes are written behind it.
                        model.AsSpan(at, length).Clear();
                        await edge.DiscardAsync(at, length);
                        await edge.WriteZeroesAsync(at, length);
                        break;
                    default:
                        var bytes = new byte[length];
                        await edge.ReadAsync(at, bytes);
                        Assert.True(bytes.AsSpan().SequenceEqual(model.AsSpan(at, length)), $"{name}, seed {seed}: {at}+{length} differs");
                        break;
                }
            }
        })));
    }

    private static async Task CheckAsync(BlockEdge edge, byte[] model, string name)
    {
        var bytes = new byte[model.Length];
        await edge.ReadAsync(0, bytes);
        Assert.True(bytes.AsSpan().SequenceEqual(model), $"{name}: the disk differs at {bytes.AsSpan().CommonPrefixLength(model)}");
        var extents = new ExtentList();
        for (long at = 0; at < edge.Length; at = extents.End)
        {
            extents.Reset(at, edge.Length - at, limit: 50);
            await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
            Assert.True(extents.End > at);
            foreach (var extent in extents.Items)
            {
                Assert.True(
                    extent.State != ExtentState.Zero || !model.AsSpan((int)extent.Start, (int)extent.Length).ContainsAnyExcept((byte)0),
                    $"{name}: data at {extent.Start}+{extent.Length} is called zeroes");
            }
        }
    }
}
