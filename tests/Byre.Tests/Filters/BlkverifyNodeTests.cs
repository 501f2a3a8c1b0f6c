using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Filters;

public class BlkverifyNodeTests
{
    [Fact]
    public async Task Writes_reach_both_and_equal_reads_pass()
    {
        var raw = new MemoryNode(4096);
        var test = new MemoryNode(4096);
        await using var edge = Make(test, raw, out var seen);
        await edge.WriteAsync(100, FaultNodeTests.Filled(3, 1000));
        await edge.WriteZeroesAsync(200, 100);
        await edge.FlushAsync();
        var (a, b, c) = (new byte[4096], new byte[4096], new byte[4096]);
        await edge.ReadAsync(0, a);
        await raw.ReadAsync(0, b);
        await test.ReadAsync(0, c);
        Assert.Equal(b, a);
        Assert.Equal(c, a);
        Assert.Equal(900, a.Count(x => x == 3));
        Assert.Empty(seen);
    }

    [Fact]
    public async Task A_difference_is_named_by_its_first_byte()
    {
        var raw = new MemoryNode(4096);
        await using var edge = Make(new MemoryNode(4096), raw, out var seen);
        await raw.WriteAsync(1234, new byte[] { 1 }, WriteFlags.None);
        await edge.ReadAsync(0, new byte[1234]);
        var e = await Assert.ThrowsAsync<BlockException>(async () => await edge.ReadAsync(1000, new byte[1000]));
        Assert.Equal(ErrorCode.Corrupt, e.Code);
        Assert.Equal(new BlkverifyMismatch("read", 1000, 1000, 1234, 0, 0), Assert.Single(seen));
        Assert.Equal("blkverify: read offset=1000 bytes=1000 contents mismatch at offset 1234", e.Message);
    }

    [Fact]
    public async Task Outcomes_must_be_the_same()
    {
        var failing = new FaultNode(Child(new MemoryNode(4096), "file"), new FaultOptions { Rules = [new FaultRule { Kinds = FaultKinds.Write, Errno = 28 }] });
        await using var edge = Make(failing, new MemoryNode(4096), out var seen);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[512]), ErrorCode.Corrupt);
        Assert.Equal(new BlkverifyMismatch("write", 0, 512, -1, 28, 0), Assert.Single(seen));

        var rules = new FaultOptions { Rules = [new FaultRule { Kinds = FaultKinds.Write | FaultKinds.Read, Errno = 28 }] };
        await using var both = Make(
            new FaultNode(Child(new MemoryNode(4096), "file"), rules), new FaultNode(Child(new MemoryNode(4096), "file"), rules), out seen);
        await EdgeTests.Refused(() => both.WriteAsync(0, new byte[512]), ErrorCode.NoSpace);
        Assert.Empty(seen);
    }

    private static BlockEdge Child(BlockNode node, string name) => new(node, ChildRole.Data | ChildRole.Primary, EdgeTests.Everything, name);

    private static BlockEdge Make(BlockNode test, BlockNode raw, out List<BlkverifyMismatch> seen)
    {
        var list = new List<BlkverifyMismatch>();
        seen = list;
        return new BlockEdge(
            new BlkverifyNode(Child(test, "test"), Child(raw, "raw")) { Mismatch = list.Add }, ChildRole.None, EdgeTests.Everything);
    }
}
