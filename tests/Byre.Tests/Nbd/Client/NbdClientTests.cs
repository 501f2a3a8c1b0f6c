using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

public sealed class NbdClientTests
{
    [Theory]
    [InlineData(NbdHeaderStyle.Simple)]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task Every_form_of_replies_reads_writes_and_zeroes(NbdHeaderStyle style)
    {
        var disk = RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style);
            peer.Serve(disk);
        });
        var client = await NbdClient.ConnectAsync(server.Options);
        Assert.Equal(style, client.HeaderStyle);
        Assert.Equal(1 << 20, client.Size);
        var data = RandomBytes(300_000);
        await client.WriteAsync(77, data);
        await client.WriteZeroesAsync(1000, 5000);
        await client.FlushAsync();
        await client.TrimAsync(0, 512);
        data.AsSpan(1000 - 77, 5000).Clear();
        var read = new byte[data.Length];
        await client.ReadAsync(77, read);
        Assert.Equal(data, read);
        await client.DisposeAsync();
        await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask());
    }

    [Fact]
    public async Task Many_requests_are_in_flight_and_may_be_answered_in_any_order()
    {
        const int count = 100;
        var disk = RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            var requests = Enumerable.Range(0, count).Select(_ => peer.ReadRequest().Header).ToArray();
            Random.Shared.Shuffle(requests);
            foreach (var request in requests)
            {
                peer.Data(request, request.Offset, disk[(int)request.Offset..(int)(request.Offset + request.Length)]);
            }

            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var buffers = Enumerable.Range(0, count).Select(_ => new byte[777]).ToArray();
        await Task.WhenAll(buffers.Select((buffer, i) => client.ReadAsync(i * 1000, buffer).AsTask()));
        for (var i = 0; i < count; i++)
        {
            Assert.Equal(disk[(i * 1000)..((i * 1000) + 777)], buffers[i]);
        }
    }

    [Fact]
    public async Task What_is_over_the_limit_of_requests_in_flight_waits_and_goes_out_later()
    {
        var disk = RandomBytes(1 << 20);
        using var go = new SemaphoreSlim(0);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple);
            go.Wait();
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { MaxInFlight = 3 });
        var reads = Enumerable.Range(0, 50).Select(i => client.ReadAsync(i * 512, new byte[512]).AsTask()).ToList();
        var writes = Enumerable.Range(0, 5).Select(i => client.WriteAsync(i * 70_000, new byte[70_000]).AsTask()).ToList();
        Assert.DoesNotContain(reads, read => read.IsCompleted);
        go.Release();
        await Task.WhenAll(reads.Concat(writes)).WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Requests_longer_than_the_socket_takes_at_once_are_sent_whole()
    {
        var disk = new byte[16 << 20];
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: (ulong)disk.Length);
            Thread.Sleep(50); // the socket fills up meanwhile
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var data = RandomBytes(disk.Length);
        var small = Enumerable.Range(0, 16).Select(i => client.WriteAsync(i << 20, data.AsMemory(i << 20, 100)).AsTask());
        var large = Enumerable.Range(0, 16).Select(i => client.WriteAsync((i << 20) + 100, data.AsMemory((i << 20) + 100, (1 << 20) - 100)).AsTask());
        await Task.WhenAll(small.Concat(large)).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(data, disk);
    }

    [Fact]
    public async Task A_read_is_put_together_of_chunks_and_holes_in_any_order()
    {
        var disk = RandomBytes(1 << 16);
        disk.AsSpan(20_000, 10_000).Clear();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, size: 1 << 16);
            var (request, _) = peer.ReadRequest();
            peer.Data(request, 50_000, disk[50_000..], done: false);
            peer.Data(request, 0, disk[..10_000], done: false);
            peer.Hole(request, 20_000, 10_000, done: false);
            peer.Data(request, 30_000, disk[30_000..50_000], done: false);
            peer.Data(request, 10_000, disk[10_000..20_000], done: false);
            peer.Done(request);
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var read = RandomBytes(1 << 16);
        await client.ReadAsync(0, read);
        Assert.Equal(disk, read);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task Block_status_is_kept_up_to_the_end_of_the_export(NbdHeaderStyle style)
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style);
            var (request, _) = peer.ReadRequest();
            peer.Status(request, 7, [(4096, 0), (8192, 3), (1 << 30, 2)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        Assert.Equal("base:allocation", Assert.Single(client.Contexts).Name);
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(65536, 65536, NbdCommandFlags.None, sink);
        Assert.Equal(1, sink.ContextCount);
        Assert.Equal(65536, sink.Offset);
        Assert.Equal([new(4096, 0), new(8192, 3), new((1 << 20) - 65536 - 4096 - 8192, 2)], sink.Of(0));
    }

    [Fact]
    public async Task The_errors_of_a_server_are_told_with_its_text_and_the_connection_goes_on()
    {
        var disk = RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Structured);
            peer.Error(peer.ReadRequest().Header, NbdError.NoSpace, "the shelf\nis full");
            peer.Error(peer.ReadRequest().Header, (NbdError)12345);
            var (request, _) = peer.ReadRequest();
            peer.Chunk(request, NbdReplyType.ErrorOffset, new FakeBytes().U32(5).U16(3).Text("bad").U64(4100).Done, done: false);
            peer.Data(request, 4096, new byte[50], done: false);
            peer.Done(request);
            peer.Simple(peer.ReadRequest().Header, NbdError.NotSupported);
            var (unknown, _) = peer.ReadRequest();
            peer.Chunk(unknown, (NbdReplyType)0x8123, new FakeBytes().U32(1).U16(0).Fill(9, 40).Done);
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var full = await Assert.ThrowsAsync<BlockException>(() => client.WriteAsync(0, new byte[10]).AsTask());
        Assert.Equal(ErrorCode.NoSpace, full.Code);
        Assert.Equal(28, full.Errno);
        Assert.Contains("'the shelf?is full'", full.Message, StringComparison.Ordinal);
        Assert.Equal(22, (await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask())).Errno);
        var read = await Assert.ThrowsAsync<BlockException>(() => client.ReadAsync(4096, new byte[100]).AsTask());
        Assert.Equal((5, 4100L), (read.Errno, read.Offset));
        Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => client.TrimAsync(0, 10).AsTask())).Code);
        Assert.Equal(1, (await Assert.ThrowsAsync<BlockException>(() => client.ReadAsync(0, new byte[1]).AsTask())).Errno);
        var good = new byte[1 << 20];
        await client.ReadAsync(0, good);
        Assert.Equal(disk, good);
    }

    [Fact]
    public async Task What_the_server_does_not_offer_is_not_sent()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(
                NbdHeaderStyle.Simple, flags: NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly, block: new NbdBlockSize(512, 4096, 65536));
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        Assert.Equal(65536, client.MaxPayload);
        await Refused(ErrorCode.ReadOnly, () => client.WriteAsync(0, new byte[512]));
        await Refused(ErrorCode.ReadOnly, () => client.WriteZeroesAsync(0, 512));
        await Refused(ErrorCode.NotSupported, () => client.FlushAsync());
        await Refused(ErrorCode.NotSupported, () => client.CacheAsync(0, 512));
        await Refused(ErrorCode.NotSupported, () => client.BlockStatusAsync(0, 512, NbdCommandFlags.None, new NbdStatusSink()));
        await Refused(ErrorCode.NotSupported, () => client.ReadAsync(0, new byte[512], NbdCommandFlags.DontFragment));
        await Refused(ErrorCode.TooLarge, () => client.ReadAsync(0, new byte[65536 + 512]));
        await Refused(ErrorCode.Invalid, () => client.ReadAsync(0, new byte[100]));
        await Refused(ErrorCode.Invalid, () => client.ReadAsync(100, new byte[512]));
        await Refused(ErrorCode.OutOfRange, () => client.ReadAsync(1 << 20, new byte[512]));
        await Refused(ErrorCode.OutOfRange, () => client.ReadAsync(-512, new byte[512]));
    }

    [Fact]
    public async Task A_resize_is_asked_for_in_the_place_of_the_offset()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple, flags: FakePeer.DefaultFlags | NbdTransmissionFlags.SendResize);
            var (request, _) = peer.ReadRequest();
            peer.Simple(request, request is { Command: NbdCommand.Resize, Offset: 2 << 20, Length: 0 } ? NbdError.None : NbdError.Invalid);
            peer.Serve(new byte[2 << 20]);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        await client.ResizeAsync(2 << 20);
        Assert.Equal(2 << 20, client.Size);
        await client.ReadAsync((2 << 20) - 512, new byte[512]);
    }

    [Fact]
    public async Task Requests_in_flight_fail_when_the_client_is_closed()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.WaitForEnd();
        });
        var client = await NbdClient.ConnectAsync(server.Options);
        var reads = Enumerable.Range(0, 300).Select(i => client.ReadAsync(i, new byte[1]).AsTask()).ToList();
        await client.DisposeAsync();
        foreach (var read in reads)
        {
            Assert.Equal(ErrorCode.Disconnected, (await Assert.ThrowsAsync<BlockException>(() => read)).Code);
        }
    }

    private static async Task Refused(ErrorCode code, Func<ValueTask> request) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<BlockException>(() => request().AsTask())).Code);

    internal static byte[] RandomBytes(int count)
    {
        var bytes = new byte[count];
        new Random(count).NextBytes(bytes);
        return bytes;
    }
}
