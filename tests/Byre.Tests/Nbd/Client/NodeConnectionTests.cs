using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Which connection a node's requests take, how many there are, and when one counts as lost.</summary>
public sealed class NodeConnectionTests
{
    private const NbdTransmissionFlags Multi = FakePeer.DefaultFlags | NbdTransmissionFlags.CanMultiConn;

    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Requests_take_the_connection_that_has_least_to_do()
    {
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(flags: Multi);
            if (index == 0)
            {
                peer.WaitForEnd(); // answers nothing
            }

            peer.Serve(new byte[1 << 20]);
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Connections = 2 });
        var hanging = new List<Task>();
        for (var i = 0; i < 2000 && node.ConnectionCount < 2; i++)
        {
            hanging.Add(node.ReadAsync(0, new byte[512]).AsTask());
            await Task.Delay(10);
        }

        Assert.Equal(2, node.ConnectionCount);
        for (var i = 0; i < 10; i++)
        {
            await node.ReadAsync(512, new byte[512]).AsTask().WaitAsync(Wait);
        }

        await node.DisposeAsync();
        foreach (var read in hanging)
        {
            await Assert.ThrowsAsync<BlockException>(() => read);
        }
    }

    [Fact]
    public async Task A_server_that_refuses_a_further_connection_is_not_asked_for_more()
    {
        using var server = new FakeServer((index, peer) =>
        {
            if (index > 0)
            {
                peer.Dispose();
                return;
            }

            peer.Handshake(size: 4 << 20, flags: Multi);
            peer.Serve(new byte[4 << 20]);
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        for (var i = 0; i < 40; i++)
        {
            await node.ReadAsync(0, new byte[4 << 20]).AsTask().WaitAsync(Wait);
        }

        Assert.Equal((1, 2), (node.ConnectionCount, server.Connections));
    }

    [Fact]
    public async Task A_request_has_the_whole_limit_of_silence_whenever_it_comes()
    {
        // Answered late after a pause: together that is longer than the limit. A machine that is slow gets longer ones.
        for (var limit = TimeSpan.FromSeconds(1); ; limit *= 2)
        {
            var late = limit * 0.6;
            using var server = new FakeServer(peer =>
            {
                peer.Handshake();
                peer.ReadRequest();
                Thread.Sleep(late);
                peer.Dispose();
            });
            await using var client = await NbdClient.ConnectAsync(server.Options with { SilenceLimit = limit });
            await Task.Delay(late);
            var e = await Assert.ThrowsAsync<BlockException>(() => client.FlushAsync().AsTask().WaitAsync(Wait));
            if (e.Message.Contains("the server closed it", StringComparison.Ordinal))
            {
                return;
            }

            Assert.Contains("has not answered", e.Message, StringComparison.Ordinal);
            Assert.True(limit < TimeSpan.FromSeconds(6), "the server did not have its time");
        }
    }

    [Fact]
    public async Task What_a_node_owns_is_disposed_with_it()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.WaitForEnd();
        });
        using var owned = new MemoryStream();
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Owned = owned });
        Assert.True(owned.CanRead);
        await node.DisposeAsync();
        Assert.False(owned.CanRead);
    }
}
