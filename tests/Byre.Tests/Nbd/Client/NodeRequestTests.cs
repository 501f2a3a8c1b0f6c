using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Which requests a node sends for what it is asked, by what the server offers.</summary>
public sealed class NodeRequestTests
{
    private const NbdTransmissionFlags Least = NbdTransmissionFlags.HasFlags;
    private const long Long = 8L << 30;

    [Fact]
    public async Task Flags_are_sent_as_they_are_wanted_where_they_are_offered()
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags | NbdTransmissionFlags.SendFastZero);
        Assert.Equal(WriteFlags.Fua, run.Node.SupportedWriteFlags);
        await run.Node.WriteAsync(0, new byte[512], WriteFlags.Fua);
        await run.Node.WriteAsync(512, new byte[512], WriteFlags.None);
        Assert.True(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.None));
        Assert.True(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.MayUnmap | WriteFlags.Fua));
        Assert.True(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.MayUnmap | WriteFlags.NoFallback));
        await run.Node.DiscardAsync(0, 512);
        await run.Node.SyncAsync();
        Assert.Equal(
            [
                (NbdCommand.Write, NbdCommandFlags.Fua),
                (NbdCommand.Write, NbdCommandFlags.None),
                (NbdCommand.WriteZeroes, NbdCommandFlags.NoHole),
                (NbdCommand.WriteZeroes, NbdCommandFlags.Fua),
                (NbdCommand.WriteZeroes, NbdCommandFlags.FastZero),
                (NbdCommand.Trim, NbdCommandFlags.None),
                (NbdCommand.Flush, NbdCommandFlags.None),
            ],
            run.Requests.Select(request => (request.Command, request.Flags)));
    }

    [Fact]
    public async Task What_is_not_offered_is_not_sent()
    {
        await using var run = await Run.OpenAsync(Least);
        Assert.Equal(WriteFlags.None, run.Node.SupportedWriteFlags);
        Assert.False(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.None));
        await run.Node.DiscardAsync(0, 512);
        await run.Node.SyncAsync();
        await run.Node.ResizeAsync(Long, Preallocation.Off); // it is so long already
        Assert.Equal(ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => run.Node.ResizeAsync(512, Preallocation.Off).AsTask())).Code);
        await run.Node.WriteAsync(0, new byte[512], WriteFlags.Fua);
        Assert.Equal((NbdCommand.Write, NbdCommandFlags.None), run.Requests.Select(request => (request.Command, request.Flags)).Single());
    }

    [Fact]
    public async Task Fast_zeroes_are_asked_of_servers_that_know_them_alone()
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags);
        Assert.False(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.NoFallback));
        Assert.Empty(run.Requests);
    }

    [Fact]
    public async Task Zeroes_that_are_not_fast_can_still_be_written()
    {
        await using var run = await Run.OpenAsync(
            FakePeer.DefaultFlags | NbdTransmissionFlags.SendFastZero,
            request => (request.Flags & NbdCommandFlags.FastZero) != 0 ? NbdError.NotSupported : NbdError.None);
        Assert.False(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.NoFallback));
        Assert.True(await run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.None));
        Assert.Equal(2, run.Requests.Count);
    }

    [Fact]
    public async Task Fast_zeroes_that_are_called_invalid_fail()
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags | NbdTransmissionFlags.SendFastZero, _ => NbdError.Invalid);
        Assert.Equal(
            ErrorCode.Invalid, (await Assert.ThrowsAsync<BlockException>(() => run.Node.TryWriteZeroesAsync(0, 512, WriteFlags.NoFallback).AsTask())).Code);
    }

    [Fact]
    public async Task A_node_that_was_resized_has_the_new_length()
    {
        await using var run = await Run.OpenAsync(
            FakePeer.DefaultFlags | NbdTransmissionFlags.SendResize, request => request.Offset == 512 ? NbdError.NoSpace : NbdError.None);
        await run.Node.ResizeAsync(2 * Long, Preallocation.Off);
        Assert.Equal(2 * Long, run.Node.Length);
        Assert.Equal(ErrorCode.NoSpace, (await Assert.ThrowsAsync<BlockException>(() => run.Node.ResizeAsync(512, Preallocation.Off).AsTask())).Code);
        Assert.Equal(2 * Long, run.Node.Length);
        Assert.All(run.Requests, request => Assert.Equal((NbdCommand.Resize, 0UL), (request.Command, request.Length)));
    }

    [Fact]
    public async Task A_discard_may_be_refused_and_may_not_fail()
    {
        var error = NbdError.NotSupported;
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags, _ => error, initial: NbdInitialState.Zero);
        Assert.True(run.Node.WasZero);
        await run.Node.DiscardAsync(0, 512);
        Assert.False(run.Node.WasZero); // what reads there now is for the server to say
        error = NbdError.Io;
        Assert.Equal(ErrorCode.Io, (await Assert.ThrowsAsync<BlockException>(() => run.Node.DiscardAsync(0, 512).AsTask())).Code);
    }

    [Fact]
    public async Task A_part_of_a_long_request_that_fails_fails_all_of_it()
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags, request => request.Offset == 1 << 20 ? NbdError.NoSpace : NbdError.None);
        var write = run.Node.WriteAsync(0, new byte[2 << 20], WriteFlags.None).AsTask();
        Assert.Equal(ErrorCode.NoSpace, (await Assert.ThrowsAsync<BlockException>(() => write)).Code);
        Assert.Equal(4, run.Requests.Count);
    }

    [Theory]
    [InlineData(WriteFlags.Fua, NbdCommandFlags.Fua)]
    [InlineData(WriteFlags.None, NbdCommandFlags.None)]
    public async Task Every_part_of_a_long_write_is_as_durable_as_the_whole(WriteFlags wanted, NbdCommandFlags sent)
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags);
        await run.Node.WriteAsync(0, new byte[2 << 20], wanted);
        Assert.Equal(4, run.Requests.Count);
        Assert.All(run.Requests, request => Assert.Equal((NbdCommand.Write, sent), (request.Command, request.Flags)));
    }

    [Fact]
    public async Task Ranges_are_as_long_as_the_headers_can_tell()
    {
        await using var extended = await Run.OpenAsync(FakePeer.DefaultFlags, style: NbdHeaderStyle.Extended);
        Assert.True(Math.Min(extended.Node.Limits.MaxWriteZeroes, extended.Node.Limits.MaxDiscard) >= Long);
        Assert.True(await extended.Node.TryWriteZeroesAsync(0, Long, WriteFlags.None));
        Assert.Equal((ulong)Long, Assert.Single(extended.Requests).Length);
        await using var structured = await Run.OpenAsync(FakePeer.DefaultFlags);
        Assert.InRange(structured.Node.Limits.MaxWriteZeroes, 1L << 31, uint.MaxValue);
        Assert.InRange(structured.Node.Limits.MaxDiscard, 1L << 31, uint.MaxValue);
        Assert.Equal(0, structured.Node.Limits.MaxWriteZeroes % (64 << 10));
    }

    [Fact]
    public async Task The_length_of_a_fixed_node_is_not_changed()
    {
        await using var run = await Run.OpenAsync(FakePeer.DefaultFlags | NbdTransmissionFlags.SendResize, isFixed: true);
        await run.Node.ResizeAsync(512, Preallocation.Off); // what is shorter fits in
        Assert.Equal(
            ErrorCode.NotSupported, (await Assert.ThrowsAsync<BlockException>(() => run.Node.ResizeAsync(2 * Long, Preallocation.Off).AsTask())).Code);
        Assert.Empty(run.Requests);
    }

    [Fact]
    public async Task Read_only_exports_are_opened_for_reading_alone()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.ReadOnly);
            peer.WaitForEnd();
        });
        var options = new NbdNodeOptions { Client = server.Options };
        Assert.Equal(ErrorCode.AccessDenied, (await Assert.ThrowsAsync<BlockException>(() => NbdNode.OpenAsync(options))).Code);
        await using var wanted = await NbdNode.OpenAsync(options with { ReadOnly = true });
        await using var taken = await NbdNode.OpenAsync(options with { AutoReadOnly = true });
        Assert.True(wanted.IsReadOnly && taken.IsReadOnly);
    }

    [Fact]
    public async Task An_export_must_end_with_a_block_and_have_the_context_that_is_wanted()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(size: 4096 + 512, block: new NbdBlockSize(4096, 4096, 65536));
            peer.WaitForEnd();
        });
        var odd = await Assert.ThrowsAsync<BlockException>(() => NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options }));
        Assert.Equal(ErrorCode.Invalid, odd.Code);
        using var other = new FakeServer(peer =>
        {
            peer.Handshake(contexts: []);
            peer.WaitForEnd();
        });
        var missing = await Assert.ThrowsAsync<BlockException>(
            () => NbdNode.OpenAsync(new NbdNodeOptions { Client = other.Options, AllocationContext = "qemu:dirty-bitmap:b" }));
        Assert.Equal(ErrorCode.NotFound, missing.Code);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple, 1024, 512)]
    [InlineData(NbdHeaderStyle.Simple, 1000, 1)]
    [InlineData(NbdHeaderStyle.Structured, 1024, 1)]
    public async Task A_server_that_says_nothing_of_blocks_and_contexts_gets_whole_sectors_where_it_has_such(NbdHeaderStyle style, ulong size, int block)
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, size: size);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        Assert.Equal(block, node.Limits.RequestAlignment);
    }

    /// <summary>A node whose server notes each request, and answers with an error that the test chooses.</summary>
    private sealed class Run : IAsyncDisposable
    {
        private readonly FakeServer server;

        private Run(FakeServer server, NbdNode node, List<NbdRequestHeader> requests)
        {
            this.server = server;
            Node = node;
            Requests = requests;
        }

        public NbdNode Node { get; }

        public List<NbdRequestHeader> Requests { get; }

        public static async Task<Run> OpenAsync(
            NbdTransmissionFlags flags,
            Func<NbdRequestHeader, NbdError>? answer = null,
            NbdHeaderStyle style = NbdHeaderStyle.Structured,
            NbdInitialState? initial = null,
            bool isFixed = false)
        {
            var requests = new List<NbdRequestHeader>();
            var server = new FakeServer(peer =>
            {
                peer.Handshake(style, size: (ulong)Long, flags: flags, initial: initial);
                while (true)
                {
                    var (request, _) = peer.ReadRequest();
                    if (request.Command == NbdCommand.Disconnect)
                    {
                        return;
                    }

                    requests.Add(request with { Flags = request.Flags & ~NbdCommandFlags.PayloadLength });
                    if (answer?.Invoke(request) is { } error and not NbdError.None)
                    {
                        peer.Error(request, error);
                    }
                    else
                    {
                        peer.Done(request);
                    }
                }
            });
            var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Connections = 1, IsFixed = isFixed });
            return new Run(server, node, requests);
        }

        public async ValueTask DisposeAsync()
        {
            await Node.DisposeAsync();
            server.Dispose();
        }
    }
}
