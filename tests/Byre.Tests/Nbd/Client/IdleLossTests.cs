using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>
/// A connection that is lost while nothing is asked. Who has a thread that receives knows it at once; where callers wait for
/// their replies themselves the next request meets it.
/// </summary>
public sealed class IdleLossTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_server_that_was_away_for_longer_than_the_delay_is_found_again(bool blocking)
    {
        using var lost = new SemaphoreSlim(0);
        using var server = ServerThatLeaves(lost);
        await using var node = await NbdNode.OpenAsync(
            new NbdNodeOptions { Client = server.Options, ReconnectDelay = TimeSpan.FromSeconds(1), Blocking = blocking });
        await lost.WaitAsync();
        await Task.Delay(1500);
        var bytes = new byte[512];
        await node.ReadAsync(0, bytes);
        await node.WriteAsync(512, bytes, WriteFlags.None);
        Assert.All(bytes, b => Assert.Equal(7, b));
    }

    [Fact]
    public async Task Without_a_delay_the_request_that_meets_the_loss_fails_and_the_next_one_connects()
    {
        using var lost = new SemaphoreSlim(0);
        using var server = ServerThatLeaves(lost);
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Blocking = true });
        await lost.WaitAsync();
        var bytes = new byte[512];
        await Assert.ThrowsAsync<BlockException>(() => node.WriteAsync(0, bytes, WriteFlags.None).AsTask());
        await node.ReadAsync(0, bytes);
        Assert.All(bytes, b => Assert.Equal(7, b));
    }

    private static FakeServer ServerThatLeaves(SemaphoreSlim lost)
    {
        var disk = new byte[1 << 20];
        disk.AsSpan().Fill(7);
        return new FakeServer((index, peer) =>
        {
            peer.Handshake();
            if (index == 0)
            {
                peer.Dispose();
                lost.Release();
            }
            else
            {
                peer.Serve(disk);
            }
        });
    }
}
