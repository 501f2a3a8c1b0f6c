using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>What a client makes of replies that keep the protocol in less common ways, and what it refuses to send.</summary>
public sealed class NbdClientReplyTests
{
    [Fact]
    public async Task The_first_error_of_a_reply_counts_and_what_follows_its_text_is_passed_over()
    {
        var disk = NbdClientTests.RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            var (read, _) = peer.ReadRequest();
            peer.Error(read, NbdError.Io, "first", done: false);
            peer.Error(read, NbdError.NoSpace, "second");
            var (trim, _) = peer.ReadRequest();
            peer.Error(trim, NbdError.Io, "first", done: false);
            peer.Simple(trim, NbdError.NoSpace);
            var (flush, _) = peer.ReadRequest();
            peer.Chunk(flush, NbdReplyType.ErrorOffset, new FakeBytes().U32((uint)NbdError.NoSpace).U16(0).U64(0).Done);
            var (unknown, _) = peer.ReadRequest();
            peer.Chunk(unknown, (NbdReplyType)0x8123, new FakeBytes().U32(1).U16(0).Fill(9, 20_000).Done);
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var first = await Assert.ThrowsAsync<BlockException>(() => client.ReadAsync(0, new byte[100]).AsTask());
        Assert.Equal(5, first.Errno);
        Assert.Contains("'first'", first.Message, StringComparison.Ordinal);
        Assert.Equal(5, (await Assert.ThrowsAsync<BlockException>(() => client.TrimAsync(0, 512).AsTask())).Errno);
        Assert.Equal(ErrorCode.NoSpace, (await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask())).Code);
        Assert.Equal(1, (await Assert.ThrowsAsync<BlockException>(() => client.ReadAsync(0, new byte[1]).AsTask())).Errno);
        var bytes = new byte[disk.Length];
        await client.ReadAsync(0, bytes);
        Assert.Equal(disk, bytes);
    }

    [Fact]
    public async Task Reads_that_are_not_to_be_fragmented_may_follow_one_another()
    {
        var disk = NbdClientTests.RandomBytes(1 << 20);
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var bytes = new byte[1000];
        for (var i = 0; i < 5; i++)
        {
            await client.ReadAsync(i * 1000, bytes, NbdCommandFlags.DontFragment);
            Assert.Equal(disk[(i * 1000)..((i + 1) * 1000)], bytes);
        }
    }

    [Fact]
    public async Task A_list_of_extents_is_used_again_and_keeps_no_more_than_it_is_to()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.Status(peer.ReadRequest().Header, 7, [(512, 0), (512, 3), (512, 0)]);
            peer.Status(peer.ReadRequest().Header, 7, [(4096, 3)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var sink = new NbdStatusSink(limit: 2);
        await client.BlockStatusAsync(0, 4096, NbdCommandFlags.None, sink);
        Assert.Equal([new(512, 0), new(512, 3)], sink.Of(0));
        await client.BlockStatusAsync(8192, 4096, NbdCommandFlags.None, sink);
        Assert.Equal([new(4096, 3)], sink.Of(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => sink.Of(1));
    }

    [Fact]
    public async Task Contexts_that_nobody_fixed_may_tell_64_bits()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended, contexts: [new(7, "base:allocation"), new(9, "x:wide")]);
            var (request, _) = peer.ReadRequest();
            peer.Status(request, 9, [(4096, 1UL << 40)], done: false);
            peer.Status(request, 7, [(4096, 3)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { MetaContexts = ["base:allocation", "x:wide"] });
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(0, 4096, NbdCommandFlags.None, sink);
        Assert.Equal([new(4096, 3)], sink.Of(0));
        Assert.Equal([new(4096, 1UL << 40)], sink.Of(1));
    }

    [Fact]
    public async Task As_many_contexts_as_can_be_selected_are_all_waited_for()
    {
        var names = Enumerable.Range(0, 64).Select(i => $"x:{i}").ToArray();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(contexts: [.. names.Select((name, i) => new NbdMetaContext((uint)i, name))]);
            var (request, _) = peer.ReadRequest();
            for (var i = 63; i >= 0; i--)
            {
                peer.Status(request, (uint)i, [(4096, (ulong)i)], done: i == 0);
            }

            peer.Status(peer.ReadRequest().Header, 63, [(4096, 0)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { MetaContexts = names });
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(0, 4096, NbdCommandFlags.None, sink);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => new NbdStatusDescriptor(4096, (ulong)i)), Enumerable.Range(0, 64).Select(i => sink.Of(i).Single()));
        var e = await Assert.ThrowsAsync<BlockException>(() => client.BlockStatusAsync(0, 4096, NbdCommandFlags.None, sink).AsTask());
        Assert.Contains("without all contexts", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_said_of_a_part_that_a_resize_has_cut_off_is_dropped()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.SendResize);
            var (status, _) = peer.ReadRequest();
            peer.Simple(peer.ReadRequest().Header);
            peer.Simple(peer.ReadRequest().Header); // a flush: by then the client knows the new length
            peer.Status(status, 7, [(4096, 3), (4096, 0)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var sink = new NbdStatusSink();
        var asking = client.BlockStatusAsync(65536, 8192, NbdCommandFlags.None, sink).AsTask();
        await client.ResizeAsync(4096);
        await client.FlushAsync();
        await asking;
        Assert.Empty(sink.Of(0));
    }

    [Fact]
    public async Task A_list_of_extents_of_a_question_about_nothing_is_empty()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.Status(peer.ReadRequest().Header, 7, [(512, 3)]);
            peer.Simple(peer.ReadRequest().Header, NbdError.Io); // nothing without length comes before
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(0, 512, NbdCommandFlags.None, sink);
        await client.BlockStatusAsync(4096, 0, NbdCommandFlags.None, sink);
        Assert.Equal(4096, sink.Offset);
        Assert.Empty(sink.Of(0));
        await client.ReadAsync(0, Array.Empty<byte>());
        await client.WriteAsync(0, Array.Empty<byte>());
        await client.TrimAsync(0, 0);
        await client.WriteZeroesAsync(0, 0);
        Assert.Equal(5, (await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask())).Errno);
    }

    [Fact]
    public async Task Long_texts_of_a_server_are_cut()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.Error(peer.ReadRequest().Header, NbdError.Io, new string('x', 301));
            peer.Error(peer.ReadRequest().Header, NbdError.Io, new string('x', 300));
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var e = await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask());
        Assert.EndsWith($" ('{new string('x', 300)}...')", e.Message, StringComparison.Ordinal);
        e = await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask());
        Assert.EndsWith($" ('{new string('x', 300)}')", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Commands_that_the_server_does_not_offer_are_not_sent()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(flags: NbdTransmissionFlags.HasFlags);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        await Refused(ErrorCode.NotSupported, () => client.TrimAsync(0, 512));
        await Refused(ErrorCode.NotSupported, () => client.WriteZeroesAsync(0, 512));
        await Refused(ErrorCode.NotSupported, () => client.ResizeAsync(512));
    }

    [Fact]
    public async Task The_last_extent_of_an_export_that_ends_within_a_block_ends_there_too()
    {
        const long size = 1_000_000;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(size: (ulong)size, block: new NbdBlockSize(512, 4096, 65536));
            peer.Status(peer.ReadRequest().Header, 7, [(512, 0), ((ulong)size - 512, 3)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var sink = new NbdStatusSink();
        await client.BlockStatusAsync(0, size / 512 * 512, NbdCommandFlags.None, sink);
        Assert.Equal([new(512, 0), new((ulong)size - 512, 3)], sink.Of(0));
    }

    [Fact]
    public async Task Flags_and_lengths_that_were_not_agreed_on_are_not_sent()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(size: 1UL << 40, flags: NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendTrim);
            var (request, _) = peer.ReadRequest();
            peer.Simple(request, request.Command == NbdCommand.Trim ? NbdError.None : NbdError.Io);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        await Refused(ErrorCode.TooLarge, () => client.WriteZeroesAsync(0, 1L << 32));
        await Refused(ErrorCode.NotSupported, () => client.WriteAsync(0, new byte[512], NbdCommandFlags.Fua));
        await Refused(ErrorCode.NotSupported, () => client.TrimAsync(0, 512, NbdCommandFlags.Fua));
        await Refused(ErrorCode.NotSupported, () => client.WriteZeroesAsync(0, 512, NbdCommandFlags.FastZero));
        await Refused(ErrorCode.NotSupported, () => client.TrimAsync(0, 512, NbdCommandFlags.NoHole));
        await Refused(ErrorCode.NotSupported, () => client.ReadAsync(0, new byte[512], NbdCommandFlags.RequestOne));
        await client.TrimAsync(0, uint.MaxValue);
    }

    [Fact]
    public async Task Nothing_is_trimmed_where_the_export_is_read_only()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.ReadOnly | NbdTransmissionFlags.SendResize);
            peer.Serve(new byte[1 << 20]);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        await Refused(ErrorCode.ReadOnly, () => client.TrimAsync(0, 512));
        await Refused(ErrorCode.ReadOnly, () => client.ResizeAsync(512));
    }

    private static async Task Refused(ErrorCode code, Func<ValueTask> request) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<BlockException>(() => request().AsTask())).Code);
}
