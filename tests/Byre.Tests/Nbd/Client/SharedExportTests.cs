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
}
