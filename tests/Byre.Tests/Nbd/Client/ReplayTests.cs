using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>What becomes of requests and of what is known when a connection ends in the middle of something.</summary>
public sealed class ReplayTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Of_a_reply_that_was_begun_nothing_is_left_when_its_connection_is_lost(bool blocking)
    {
        var disk = NbdNodeTests.RandomBytes(1 << 20);
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            if (index == 0)
            {
                var (read, _) = peer.ReadRequest();
                peer.Data(read, read.Offset + 1000, new byte[1000], done: false);
                peer.Error(read, NbdError.Io, "soon gone", done: false);
                peer.Dispose();
            }
            else if (index == 1)
            {
                peer.Serve(disk, most: 1);
                var (status, _) = peer.ReadRequest();
                peer.Status(status, 7, [(512, 3), (512, 0)], done: false);
                peer.Dispose();
            }
            else
            {
                peer.Status(peer.ReadRequest().Header, 7, [(8192, 2)]);
                peer.Serve(disk);
            }
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long, Blocking = blocking });
        var bytes = new byte[8192];
        await Task.Run(async () => await node.ReadAsync(4096, bytes)).WaitAsync(Wait);
        Assert.Equal(disk[4096..12288], bytes);
        var sink = new NbdStatusSink();
        await Task.Run(async () => await node.GetStatusAsync(0, 8192, sink)).WaitAsync(Wait);
        Assert.Equal([new(8192, 2)], sink.Of(0));
        Assert.Equal(3, server.Connections);
    }

    [Fact]
    public async Task Requests_are_sent_again_in_their_order()
    {
        const int count = 20;
        var offsets = new List<ulong>();
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake();
            for (var i = 0; index == 0 && i < count; i++)
            {
                var (first, _) = peer.ReadRequest();
                peer.Data(first, first.Offset, new byte[512]);
            }

            for (var i = 0; i < count; i++)
            {
                var (request, _) = peer.ReadRequest();
                if (index > 0)
                {
                    offsets.Add(request.Offset);
                    peer.Data(request, request.Offset, new byte[512]);
                }
            }

            if (index == 0)
            {
                peer.Dispose();
            }

            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        for (var round = 0; round < 2; round++)
        {
            // In the second round the places of requests are used again, in another order.
            await Task.WhenAll(Enumerable.Range(0, count).Select(i => node.ReadAsync(i * 512, new byte[512]).AsTask())).WaitAsync(Wait);
        }

        Assert.Equal(Enumerable.Range(0, count).Select(i => (ulong)i * 512), offsets);
    }

    [Fact]
    public async Task What_was_zero_may_not_be_after_a_connection_was_lost()
    {
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(initial: NbdInitialState.Zero);
            if (index == 0)
            {
                peer.ReadRequest();
                peer.Dispose();
            }

            peer.Serve(new byte[1 << 20]);
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        Assert.True(node.WasZero);
        await node.ReadAsync(0, new byte[512]);
        Assert.False(node.WasZero);
    }

    [Fact]
    public async Task When_a_server_lies_on_one_connection_all_of_them_end()
    {
        var left = new TaskCompletionSource();
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(flags: FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn);
            if (index == 0)
            {
                peer.WaitForEnd(); // answers nothing, and says nothing wrong
                left.SetResult();
                return;
            }

            var (request, _) = peer.ReadRequest();
            peer.Data(request, request.Offset + 1, new byte[512]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Connections = 2, ReconnectDelay = Long });
        var reads = new List<Task>();
        for (var i = 0; i < 2000 && server.Connections < 2; i++)
        {
            reads.Add(node.ReadAsync(0, new byte[512]).AsTask());
            await Task.Delay(10);
        }

        for (var i = 0; i < 2000 && !reads[0].IsCompleted; i++)
        {
            reads.Add(node.ReadAsync(0, new byte[512]).AsTask()); // one of them goes to the second connection
            await Task.Delay(10);
        }

        foreach (var read in reads)
        {
            Assert.Equal(ErrorCode.Corrupt, (await Assert.ThrowsAsync<BlockException>(() => read.WaitAsync(Wait))).Code);
        }

        await left.Task.WaitAsync(Wait);
        Assert.Equal(2, server.Connections);
    }

    [Theory]
    [InlineData("another form")]
    [InlineData("of other sizes", 8192u)]
    [InlineData("of other sizes", 4096u, 65536u)]
    [InlineData("other metadata contexts")]
    public async Task An_export_that_asks_for_other_requests_is_another_one(string says, uint minimum = 4096, uint most = 1 << 20)
    {
        var left = new TaskCompletionSource();
        using var server = new FakeServer((index, peer) =>
        {
            if (index == 0)
            {
                peer.Handshake(NbdHeaderStyle.Extended, block: new NbdBlockSize(4096, 8192, 1 << 20));
                peer.ReadRequest();
                peer.Dispose();
            }

            peer.Handshake(
                says == "another form" ? NbdHeaderStyle.Structured : NbdHeaderStyle.Extended,
                block: new NbdBlockSize(minimum, 8192, most),
                contexts: says == "other metadata contexts" ? [] : null);
            try
            {
                peer.WaitForEnd();
            }
            finally
            {
                left.TrySetResult();
            }
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = Long });
        var e = await Assert.ThrowsAsync<BlockException>(() => node.ReadAsync(0, new byte[4096]).AsTask().WaitAsync(Wait));
        Assert.Contains(says, e.Message, StringComparison.Ordinal);
        Assert.Equal(2, server.Connections); // what does not fit now is not asked for again and again
        await left.Task.WaitAsync(Wait);
    }

    [Fact]
    public async Task Each_connection_has_numbers_of_its_own_for_the_contexts()
    {
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(contexts: index == 0 ? [new(7, "base:allocation"), new(8, "x:y")] : [new(8, "base:allocation"), new(7, "x:y")]);
            var (request, _) = peer.ReadRequest();
            if (index == 0)
            {
                peer.Dispose();
            }

            peer.Status(request, 7, [(512, 5)], done: false);
            peer.Status(request, 8, [(512, 3)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(
            new NbdNodeOptions { Client = server.Options, MetaContexts = ["x:y"], ReconnectDelay = Long });
        var sink = new NbdStatusSink();
        await node.GetStatusAsync(0, 512, sink).AsTask().WaitAsync(Wait);
        Assert.Equal([new(512, 3)], sink.Of(0));
        Assert.Equal([new(512, 5)], sink.Of(1));
    }

    [Fact]
    public async Task A_server_that_refuses_an_export_is_not_asked_for_it_again()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.ErrorUnknown);
            peer.WaitForEnd();
        });
        var opening = NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, OpenTimeout = Long });
        Assert.Equal(ErrorCode.NotFound, (await Assert.ThrowsAsync<BlockException>(() => opening.WaitAsync(Wait))).Code);
        Assert.Equal(1, server.Connections);
    }
}
