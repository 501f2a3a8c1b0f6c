using Byre.Blockdev;
using Byre.Graph;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Nbd.Client;

namespace Byre.Tests.Blockdev.Drivers;

public sealed class NbdDriverTests
{
    [Theory]
    [InlineData("nbd+unix:///x?socket=SOCKET", null, "nbd+unix:///x?socket=SOCKET")]
    [InlineData("nbd:unix:SOCKET:exportname=x", "raw", "nbd+unix:///x?socket=SOCKET")]
    [InlineData("json:{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"SOCKET\"},\"export\":\"x\"}", null, "nbd+unix:///x?socket=SOCKET")]
    [InlineData("json:{\"file\":{\"driver\":\"nbd\",\"path\":\"SOCKET\",\"export\":\"x\",\"connections\":2}}", "raw", "nbd+unix:///x?socket=SOCKET")]
    public async Task Every_way_to_name_an_export_opens_it(string name, string? format, string shown)
    {
        var disk = new byte[1 << 20];
        disk[1000] = 5;
        byte[]? asked = null;
        using var server = Serving(disk, data => asked = data);
        var path = server.Address.SocketPath!;
        var options = new OpenOptions { FileName = name.Replace("SOCKET", path, StringComparison.Ordinal), Format = format };
        await using var image = await ImageOpener.OpenAsync(options, DefaultPermissions.ForUser(write: true));
        Assert.Equal(shown.Replace("SOCKET", path, StringComparison.Ordinal), image.Node.FileName);
        Assert.Equal((byte)'x', asked![4]);
        var bytes = new byte[2];
        await image.Edge.ReadAsync(999, bytes);
        Assert.Equal(new byte[] { 0, 5 }, bytes);
        await image.Edge.WriteAsync(999, new byte[] { 7 });
        await image.Edge.FlushAsync();
        Assert.Equal(7, disk[999]);
    }

    [Theory]
    [InlineData("driver=nbd")]
    [InlineData("driver=nbd,server.type=unix")]
    [InlineData("driver=nbd,server.type=fd,server.str=3")]
    [InlineData("driver=nbd,server.type=inet,server.host=localhost")]
    [InlineData("driver=nbd,server.type=inet,server.host=localhost,server.port=http")]
    [InlineData("driver=nbd,server.type=unix,server.path=/x,server.color=red")]
    [InlineData("driver=nbd,path=/x,host=y")]
    [InlineData("driver=nbd,path=/x,filename=nbd://y")]
    [InlineData("driver=nbd,path=/x,color=red")]
    [InlineData("driver=nbd,path=/x,connections=17")]
    [InlineData("driver=nbd,path=/x,connections=0")]
    [InlineData("driver=nbd,path=/x,reconnect-delay=-1")]
    [InlineData("driver=nbd,path=/x,reconnect-delay=99999999999")]
    [InlineData("driver=nbd,path=/x,x-dirty-bitmap=")]
    [InlineData("driver=nbd,path=/x,tls-creds=none")]
    public async Task Options_that_make_no_sense_are_refused_in_one_line(string list)
    {
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        OptionTree.AddList(options, list);
        var e = await Assert.ThrowsAsync<BlockException>(() =>
            ImageOpener.OpenAsync(new OpenOptions { Options = options }, DefaultPermissions.ForUser(write: false)).AsTask());
        Assert.True(e.Code is ErrorCode.Invalid or ErrorCode.NotFound or ErrorCode.NotSupported, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public async Task A_read_only_export_is_written_by_nobody()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.ReadOnly);
            peer.Serve(new byte[1 << 20]);
        });
        var name = "nbd:unix:" + server.Address.SocketPath;
        var open = (Dictionary<string, string> options, bool write) => ImageOpener.OpenAsync(
            new OpenOptions { FileName = name, Format = "raw", Options = options }, DefaultPermissions.ForUser(write)).AsTask();
        Assert.Equal(ErrorCode.AccessDenied, (await Assert.ThrowsAsync<BlockException>(() => open([], true))).Code);
        await using (var image = await open(new() { ["read-only"] = "on" }, false))
        {
            Assert.True(image.IsReadOnly);
        }

        await using (var image = await open(new() { ["auto-read-only"] = "on" }, true))
        {
            Assert.True(image.IsReadOnly);
        }
    }

    [Fact]
    public async Task An_image_is_made_in_an_export_of_fixed_length()
    {
        var disk = new byte[1 << 20];
        disk.AsSpan().Fill(0xee);
        using var server = Serving(disk);
        var name = "nbd+unix:///?socket=" + server.Address.SocketPath;
        await ImageCreator.CreateAsync(new ImageCreateRequest { FileName = name, Format = "qcow2", Size = 4 << 20 });
        await using (var image = await ImageOpener.OpenAsync(new OpenOptions { FileName = name }, DefaultPermissions.ForUser(write: true)))
        {
            Assert.Equal("qcow2", image.FormatName);
            await image.Edge.WriteAsync(3 << 20, new byte[] { 1, 2, 3 });
            var bytes = new byte[3];
            await image.Edge.ReadAsync(3 << 20, bytes);
            Assert.Equal(new byte[] { 1, 2, 3 }, bytes);
        }

        await ImageCreator.CreateAsync(new ImageCreateRequest { FileName = name, Format = "raw", Size = 1 << 19 });
        Assert.Equal(new byte[512], disk[..512]);
        var tooLong = await Assert.ThrowsAsync<BlockException>(() =>
            ImageCreator.CreateAsync(new ImageCreateRequest { FileName = name, Format = "raw", Size = 2 << 20 }).AsTask());
        Assert.Equal(ErrorCode.NoSpace, tooLong.Code);
    }

    [Fact]
    public async Task The_length_of_an_export_does_not_change()
    {
        using var server = Serving(new byte[1 << 20]);
        await using var image = await ImageOpener.OpenAsync(
            new OpenOptions { FileName = "nbd:unix:" + server.Address.SocketPath, Format = "raw" }, DefaultPermissions.ForUser(write: true, resize: true));
        await image.Edge.ResizeAsync(1 << 20);
        Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => image.Edge.ResizeAsync(2 << 20).AsTask())).Code);
        Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => image.Edge.ResizeAsync(1 << 19).AsTask())).Code);
    }

    [Fact]
    public async Task Another_context_is_read_as_allocation()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.SetMetaContext);
            peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(7).Text("qemu:dirty-bitmap:b").Done);
            peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.Ack);
            peer.ReadOption();
            peer.SendFacts(NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.Ack);
            peer.Status(peer.ReadRequest().Header, 7, [(65536, 0), (65536, 1), ((1 << 20) - 131072, 0)]);
            peer.WaitForEnd();
        });
        var options = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["driver"] = "nbd",
            ["path"] = server.Address.SocketPath!,
            ["x-dirty-bitmap"] = "qemu:dirty-bitmap:b",
        };
        await using var image = await ImageOpener.OpenAsync(new OpenOptions { Options = options }, DefaultPermissions.ForUser(write: false));
        Assert.IsType<NbdNode>(image.Node);
        var extents = new ExtentList();
        extents.Reset(0, 1 << 20);
        await image.Edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(3, extents.Count);
        Assert.Equal((65536L, true, ExtentState.Data), (extents.Items[1].Length, extents.Items[1].IsHole, extents.Items[1].State));
    }

    private static FakeServer Serving(byte[] disk, Action<byte[]>? asked = null) => new(peer =>
    {
        var data = peer.Handshake(size: (ulong)disk.Length);
        asked?.Invoke(data);
        peer.Serve(disk);
    });
}
