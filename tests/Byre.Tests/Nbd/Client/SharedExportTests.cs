using Byre.Graph;
using Byre.Jobs;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Client;

/// <summary>An export that others write too: what a server said once is not taken for what is there now.</summary>
public sealed class SharedExportTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData(NbdHeaderStyle.Simple)]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task What_another_client_writes_into_an_export_that_was_zero_is_seen_by_all_readers(NbdHeaderStyle style)
    {
        var disk = new byte[Size];
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, initial: NbdInitialState.Zero | NbdInitialState.Sparse);
            peer.Serve(disk);
        });
        await using var reader = new BlockEdge(
            await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options }), ChildRole.None, EdgeTests.Everything);
        await using (var writer = new BlockEdge(
            await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options }), ChildRole.None, EdgeTests.Everything))
        {
            await writer.WriteAsync(0, NbdNodeTests.RandomBytes(Size));
        }

        var bytes = new byte[Size];
        await reader.ReadAsync(0, bytes);
        Assert.Equal(disk, bytes);

        var extents = new ExtentList();
        extents.Reset(0, Size);
        await new BackingChain(reader).GetExtentsAsync(extents, ExtentPrecision.Exact);
        Assert.All(extents.Items.ToArray(), extent => Assert.Equal(ExtentState.Data, extent.State));

        var copy = new byte[Size];
        await using (var target = new BlockEdge(new MemoryNode(Size), ChildRole.None, EdgeTests.Everything))
        {
            await new CopyEngine([reader], target, new CopyOptions { TargetIsZero = true }).RunAsync();
            await target.ReadAsync(0, copy);
        }

        Assert.Equal(disk, copy);

        var source = new ContextSource(reader, []);
        var reply = new ContextReply(new MetaContextCatalog(false, []).All[0]);
        await new ContextWalker(source, isAligned: false, NbdHeaderStyle.Extended).QueryAsync(0, Size, 100, one: false, [reply]);
        Assert.All(reply.Items.ToArray(), extent => Assert.Equal(0u, extent.Flags));
        Assert.Equal(NbdInitialState.None, await InitialStateProbe.LookAsync(source));
    }

    [Fact]
    public async Task What_was_said_while_a_write_was_on_its_way_is_not_remembered_once_it_is_done()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            var (write, _) = peer.ReadRequest();
            var (status, _) = peer.ReadRequest();
            peer.Status(status, 7, [(Size, 3)]);
            peer.Done(write);
            var (again, _) = peer.ReadRequest();
            peer.Status(again, 7, [(Size - again.Offset, 0)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var writing = node.WriteAsync(4096, new byte[4096], WriteFlags.None);
        Assert.Equal(ExtentState.Zero, await StateAtAsync(node, 0));
        await writing;
        Assert.Equal(ExtentState.Data, await StateAtAsync(node, 4096));
    }

    [Fact]
    public async Task What_was_said_before_a_connection_was_lost_is_not_remembered()
    {
        using var server = new FakeServer((index, peer) =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            var (status, _) = peer.ReadRequest();
            if (index == 0)
            {
                peer.Status(status, 7, [(Size, 3)]);
                peer.ReadRequest();
                peer.Dispose();
                return;
            }

            peer.Done(status); // the flush, sent again
            (status, _) = peer.ReadRequest();
            peer.Status(status, 7, [(Size - status.Offset, 0)]);
            peer.WaitForEnd();
        });
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = TimeSpan.FromMinutes(1) });
        Assert.Equal(ExtentState.Zero, await StateAtAsync(node, 0));
        await node.SyncAsync();
        Assert.Equal(ExtentState.Data, await StateAtAsync(node, 4096));
    }

    [Fact]
    public async Task What_is_remembered_for_a_walk_does_not_last()
    {
        using var server = new FakeServer(Alternating);
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        Assert.Equal(ExtentState.Zero, await StateAtAsync(node, 0));
        await Task.Delay(300);
        Assert.Equal(ExtentState.Data, await StateAtAsync(node, 4096));
    }

    [Fact]
    public async Task A_reader_of_extents_asks_anew_after_a_change_and_on_a_new_walk()
    {
        using var server = new FakeServer(Alternating);
        await using var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        var reader = node.ReadExtents();
        Assert.True((await reader.AtAsync(0, 4096)).Zero);
        Assert.True((await reader.AtAsync(4096, 8192)).Zero);
        Assert.False((await reader.AtAsync(0, 4096)).Zero);
        Assert.False((await reader.AtAsync(8192, 12288)).Zero);
        await node.WriteAsync(8192, new byte[4096], WriteFlags.None);
        Assert.True((await reader.AtAsync(12288, 16384)).Zero);
        Assert.Equal(3, reader.Questions);
    }

    /// <summary>Calls everything zeroes, then data, then zeroes again, and so on.</summary>
    private static void Alternating(FakePeer peer)
    {
        peer.Handshake(NbdHeaderStyle.Extended);
        for (var flags = 3UL; ;)
        {
            var (request, _) = peer.ReadRequest();
            if (request.Command == NbdCommand.BlockStatus)
            {
                peer.Status(request, 7, [(Size - request.Offset, flags)]);
                flags ^= 3;
            }
            else
            {
                peer.Done(request);
            }
        }
    }

    private static async Task<ExtentState> StateAtAsync(NbdNode node, long offset)
    {
        var extents = new ExtentList();
        extents.Reset(offset, 4096);
        await node.GetExtentsAsync(extents, ExtentPrecision.Layer);
        return Assert.Single(extents.Items.ToArray()).State;
    }
}
