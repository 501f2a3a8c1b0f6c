using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Filters;

public class BlkdebugNodeTests
{
    [Fact]
    public async Task An_event_arms_errors_for_the_kinds_and_sectors_of_its_rules()
    {
        await using var edge = Make(out _, new BlkdebugOptions
        {
            Errors =
            [
                new BlkdebugErrorRule { Event = BlkdebugEvent.L2Update, IoTypes = BlkdebugIoTypes.Write, Sector = 4, Errno = 28 },
                new BlkdebugErrorRule { Event = BlkdebugEvent.L2Update, IoTypes = BlkdebugIoTypes.Read },
            ],
        });
        await edge.WriteAsync(0, new byte[4096]);
        edge.DebugEvent(BlkdebugEvent.L2Load);
        await edge.WriteAsync(0, new byte[4096]);
        edge.DebugEvent(BlkdebugEvent.L2Update);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[4096]), ErrorCode.NoSpace);
        await EdgeTests.Refused(() => edge.WriteAsync(2048, new byte[1]), ErrorCode.NoSpace);
        await edge.WriteAsync(2049, new byte[100]);
        await edge.WriteAsync(0, new byte[2048]);
        await EdgeTests.Refused(() => edge.ReadAsync(4000, new byte[1]), ErrorCode.Io);
        await edge.FlushAsync();
    }

    [Fact]
    public async Task A_rule_that_acts_once_is_spent_and_errno_zero_lets_pass()
    {
        await using var edge = Make(out _, new BlkdebugOptions
        {
            Errors =
            [
                new BlkdebugErrorRule { Event = BlkdebugEvent.None, IoTypes = BlkdebugIoTypes.Read, Once = true, Errno = 0 },
                new BlkdebugErrorRule { Event = BlkdebugEvent.None, IoTypes = BlkdebugIoTypes.Read, Once = true },
                new BlkdebugErrorRule { Event = BlkdebugEvent.None, IoTypes = BlkdebugIoTypes.BlockStatus },
            ],
        });
        await edge.ReadAsync(0, new byte[1]);
        await EdgeTests.Refused(() => edge.ReadAsync(0, new byte[1]), ErrorCode.Io);
        await edge.ReadAsync(0, new byte[1]);
        var extents = new ExtentList();
        extents.Reset(0, 4096);
        await EdgeTests.Refused(() => edge.GetExtentsAsync(extents, ExtentPrecision.Layer), ErrorCode.Io);
    }

    [Fact]
    public async Task States_decide_which_rules_an_event_arms()
    {
        await using var edge = Make(out var node, new BlkdebugOptions
        {
            Errors =
            [
                new BlkdebugErrorRule { Event = BlkdebugEvent.ReadAio, State = 2, IoTypes = BlkdebugIoTypes.Read, Errno = 28 },
                new BlkdebugErrorRule { Event = BlkdebugEvent.ReadAio, State = 3, IoTypes = BlkdebugIoTypes.Write, Errno = 28 },
            ],
            States =
            [
                new BlkdebugStateRule { Event = BlkdebugEvent.ReadAio, State = 1, NewState = 2 },
                new BlkdebugStateRule { Event = BlkdebugEvent.ReadAio, State = 2, NewState = 3 },
                new BlkdebugStateRule { Event = BlkdebugEvent.ReadAio, NewState = 9 },
            ],
        });
        Assert.Equal(1, node.State);
        edge.DebugEvent(BlkdebugEvent.ReadAio); // seen in state 1: nothing is armed
        Assert.Equal(2, node.State);
        await edge.ReadAsync(0, new byte[1]);
        edge.DebugEvent(BlkdebugEvent.ReadAio); // seen in state 2
        Assert.Equal(3, node.State);
        await EdgeTests.Refused(() => edge.ReadAsync(0, new byte[1]), ErrorCode.NoSpace);
        edge.DebugEvent(BlkdebugEvent.ReadAio); // replaces what was armed
        Assert.Equal(9, node.State);
        await edge.ReadAsync(0, new byte[1]);
        await EdgeTests.Refused(() => edge.WriteAsync(0, new byte[1]), ErrorCode.NoSpace);
    }

    [Fact]
    public async Task Requests_stop_at_breakpoints_and_go_on_when_resumed()
    {
        await using var edge = Make(out var node, new BlkdebugOptions());
        var suspended = new System.Collections.Concurrent.ConcurrentQueue<string>();
        node.RequestSuspended = suspended.Enqueue;
        node.AddBreakpoint(BlkdebugEvent.Pwritev, "A");
        node.AddBreakpoint(BlkdebugEvent.Pwritev, "never");
        Assert.True(node.RemoveBreakpoint("never"));
        Assert.False(node.RemoveBreakpoint("never"));
        Assert.False(node.Resume("A"));
        var write = Task.Run(async () => await edge.WriteAsync(0, FaultNodeTests.Filled(1, 512)));
        await EdgeTests.Until(() => node.IsSuspended("A"));
        Assert.Equal("A", Assert.Single(suspended));
        Assert.Equal((1, 1), (node.SuspendedCount, node.CountSuspended("A")));
        await edge.WriteAsync(512, FaultNodeTests.Filled(2, 512)); // the breakpoint is spent
        Assert.Equal(new[] { 0, 2 }, await FaultNodeTests.SectorsAsync(edge, 2));
        Assert.False(write.IsCompleted);
        Assert.True(node.Resume("A"));
        await write;
        Assert.Equal(new[] { 1, 2 }, await FaultNodeTests.SectorsAsync(edge, 2));
        Assert.Equal(0, node.SuspendedCount);
    }

    [Fact]
    public async Task A_request_stops_at_every_breakpoint_and_all_can_be_let_go()
    {
        await using var edge = Make(out var node, new BlkdebugOptions());
        node.AddBreakpoint(BlkdebugEvent.Pwritev, "A");
        node.AddBreakpoint(BlkdebugEvent.Pwritev, "B");
        var write = Task.Run(async () => await edge.WriteAsync(0, new byte[512]));
        await EdgeTests.Until(() => node.SuspendedCount == 2);
        Assert.True(node.Resume("A"));
        Assert.False(write.IsCompleted);
        Assert.False(node.RemoveBreakpoint("B")); // no breakpoint is left, but the request that stands at it goes on
        await write;
        node.AddBreakpoint(BlkdebugEvent.Pwritev, "C");
        write = Task.Run(async () => await edge.WriteAsync(0, new byte[512]));
        await EdgeTests.Until(() => node.SuspendedCount == 1);
        node.ResumeAll();
        await write;
    }

    [Fact]
    public async Task Limits_are_pretended_and_kept()
    {
        var options = new BlkdebugOptions
        {
            Align = 4096, MaxTransfer = 8192, OptimalWriteZeroes = 8192, MaxWriteZeroes = 16_384, OptimalDiscard = 8192, MaxDiscard = 16_384,
        };
        var below = new WriteLogNode(Child(new MemoryNode(1 << 20)));
        await using var edge = new BlockEdge(new BlkdebugNode(Child(below), options), ChildRole.None, EdgeTests.Everything);
        await edge.WriteAsync(0, new byte[12_288]);
        await edge.DiscardAsync(8192, 40_960);
        await edge.DiscardAsync(0, 4096);
        await edge.WriteZeroesAsync(8192, 20_480);
        Assert.Equal(
            "Write 0+8192; Write 8192+4096; Discard 8192+16384; Discard 24576+16384; Discard 40960+8192; WriteZeroes 8192+16384; Write 24576+4096",
            string.Join("; ", below.Entries.Select(e => $"{e.Kind} {e.Offset}+{e.Length}")));
    }

    [Fact]
    public void Limits_that_contradict_each_other_are_refused()
    {
        foreach (var bad in new BlkdebugOptions[]
        {
            new() { Align = 3000 }, new() { Align = 128 << 10 }, new() { Align = -1 }, new() { Align = 4096, MaxTransfer = 512 },
            new() { MaxTransfer = 1L << 32 }, new() { OptimalWriteZeroes = 4096, MaxWriteZeroes = 5000 }, new() { Align = 512, OptimalDiscard = 100 },
            new() { OptimalDiscard = 4096, MaxDiscard = 2048 },
        })
        {
            var child = Child(new MemoryNode(4096));
            Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => new BlkdebugNode(child, bad)).Code);
            Assert.Null(child.Parent);
        }
    }

    [Fact]
    public void Permissions_are_taken_and_not_shared_as_told()
    {
        var node = new BlkdebugNode(Child(new MemoryNode(4096)), new BlkdebugOptions
        {
            TakeChildPermissions = Permissions.Write, UnshareChildPermissions = Permissions.ConsistentRead | Permissions.Resize,
        });
        Assert.Equal(
            new PermissionSet(Permissions.ConsistentRead | Permissions.Write, Permissions.Write | Permissions.WriteUnchanged),
            node.PermissionsForChild(ChildRole.Filtered, new PermissionSet(Permissions.ConsistentRead, Permissions.All)));
    }

    [Fact]
    public void Names_of_events_are_words_joined_by_underscores_and_read_back()
    {
        Assert.Equal("refblock_alloc_switch_table", BlkdebugNames.NameOf(BlkdebugEvent.RefblockAllocSwitchTable));
        Assert.Equal("pwritev_rmw_after_head", BlkdebugNames.NameOf(BlkdebugEvent.PwritevRmwAfterHead));
        Assert.Equal("none", BlkdebugNames.NameOf(BlkdebugEvent.None));
        foreach (var value in Enum.GetValues<BlkdebugEvent>())
        {
            Assert.True(BlkdebugNames.TryParse(BlkdebugNames.NameOf(value), out var read));
            Assert.Equal(value, read);
        }

        Assert.False(BlkdebugNames.TryParse("L2Update", out _));
        Assert.False(BlkdebugNames.TryParseIoType("writes", out _));
    }

    private static BlockEdge Child(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, EdgeTests.Everything, "image");

    private static BlockEdge Make(out BlkdebugNode node, BlkdebugOptions options)
    {
        node = new BlkdebugNode(Child(new MemoryNode(4096)), options);
        return new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
    }
}
