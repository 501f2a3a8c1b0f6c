using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Filters;

public class WriteLogNodeTests
{
    [Fact]
    public async Task Changes_and_flushes_are_recorded_with_their_data()
    {
        var (log, edge) = Make(new MemoryNode(4096));
        var data = FaultNodeTests.Filled(5, 512);
        await edge.WriteAsync(512, data);
        data.AsSpan().Fill(6); // the log keeps what was written, not the buffer
        await edge.WriteZeroesAsync(0, 1024, WriteFlags.MayUnmap);
        await edge.FlushAsync();
        await edge.DiscardAsync(2048, 512);
        await edge.ResizeAsync(8192);
        await edge.WriteAsync(0, data, WriteFlags.Fua);
        await edge.ReadAsync(0, data);
        var entries = log.Entries;
        Assert.Equal(
            "Write 512+512 None; WriteZeroes 0+1024 MayUnmap; Flush 0+0 None; Discard 2048+512 None; Resize 0+8192 None; Write 0+512 Fua",
            Text(entries));
        Assert.Equal(FaultNodeTests.Filled(5, 512), entries[0].Data.ToArray());
        Assert.True(entries[1].Data.IsEmpty);
        Assert.All(entries, e => Assert.True(e.Ended > e.Began && !e.Failed));
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task Times_tell_what_a_flush_covers()
    {
        var node = new GatedNode(4096) { GatesSyncs = true };
        var (log, edge) = Make(node);
        var first = edge.WriteAsync(0, new byte[512]).AsTask();
        node.CompleteAll();
        await first;
        var late = edge.WriteAsync(512, new byte[512]).AsTask();
        var flush = edge.FlushAsync().AsTask();
        await EdgeTests.Until(() => node.InFlight.Any(r => r.Kind == "sync"));
        var mark = log.Mark("both in flight");
        var entries = log.Entries;
        Assert.Equal("Write 0+512 None; Write 512+512 None; Flush 0+0 None; Mark 0+0 None", Text(entries));
        Assert.Equal("both in flight", entries[3].Label);
        Assert.Equal((mark, mark), (entries[3].Began, entries[3].Ended));
        Assert.Equal(long.MaxValue, entries[1].Ended);
        Assert.Equal(long.MaxValue, entries[2].Ended);
        node.Complete(node.InFlight[0]);
        await late;
        node.CompleteAll();
        await flush;
        Assert.True(entries[0].Ended < entries[2].Began);
        Assert.True(entries[1].Ended > entries[2].Began && entries[1].Ended < entries[2].Ended);
        Assert.Equal(entries[2].Ended, log.Clock.Now);
        Assert.All(entries, e => Assert.Equal(e.IsChange, e.Kind == WriteLogKind.Write));
        node.GatesSyncs = false;
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task A_failed_request_is_recorded_as_such_and_a_declined_one_not_at_all()
    {
        var zeroesWork = false;
        var (log, edge) = Make(new ModelNode(new byte[4096], BlockLimits.Default) { ZeroesWork = () => zeroesWork });
        await edge.WriteZeroesAsync(0, 512);
        Assert.Equal("Write 0+512 None", Text(log.Entries));
        await edge.DisposeAsync();

        var faulty = new FaultNode(
            new BlockEdge(new MemoryNode(4096), ChildRole.Filtered | ChildRole.Primary, EdgeTests.Everything, "file"),
            new FaultOptions { Rules = [new FaultRule { Kinds = FaultKinds.Changes, Count = 3 }] });
        (log, edge) = Make(faulty);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[512]), ErrorCode.Io);
        await EdgeTests.Refused(() => edge.WriteZeroesAsync(0, 512), ErrorCode.Io);
        await EdgeTests.Refused(edge.FlushAsync, ErrorCode.Io);
        Assert.Equal(3, log.Entries.Count);
        Assert.All(log.Entries, e => Assert.True(e.Failed && e.Ended != long.MaxValue));
        await edge.DisposeAsync();
    }

    private static string Text(IEnumerable<WriteLogEntry> entries) =>
        string.Join("; ", entries.Select(e => $"{e.Kind} {e.Offset}+{e.Length} {e.Flags}"));

    private static (WriteLogNode Log, BlockEdge Edge) Make(BlockNode node)
    {
        var log = new WriteLogNode(new BlockEdge(node, ChildRole.Filtered | ChildRole.Primary, EdgeTests.Everything, "file"));
        return (log, new BlockEdge(log, ChildRole.None, EdgeTests.Everything));
    }
}
