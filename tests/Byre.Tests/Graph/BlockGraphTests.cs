using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Graph;

public class BlockGraphTests
{
    private const ChildRole FileRole = ChildRole.Data | ChildRole.Metadata | ChildRole.Primary;

    [Fact]
    public async Task A_chain_opened_from_below_gets_the_permissions_that_its_user_calls_for()
    {
        var graph = new BlockGraph();
        var file = new FakeNode("");
        var fileEdge = await graph.AttachAsync(file, FileRole, DefaultPermissions.Writer, "file");
        Assert.Equal(DefaultPermissions.Writer, file.Held);
        var top = new FakeNode("top", 1 << 20, fileEdge);
        var root = await graph.AttachAsync(top, ChildRole.None, DefaultPermissions.Reader);
        Assert.Same(top, fileEdge.Parent);
        Assert.Equal(Permissions.ConsistentRead, fileEdge.Permissions.Used);
        Assert.Equal(Permissions.ConsistentRead, file.Held!.Value.Used);
        Assert.Equal("#block001", file.Name);
        Assert.Same(file, graph.Find("#block001"));
        Assert.Same(top, graph.Find("top"));
        await EdgeRefuses(root, ErrorCode.NotPermitted);
        await graph.SetPermissionsAsync(root, DefaultPermissions.Writer);
        Assert.Equal(DefaultPermissions.Writer, file.Held);
        await root.WriteAsync(0, new byte[1]);
        await fileEdge.WriteAsync(0, new byte[1]);
        await root.DisposeAsync();
        Assert.True(top.IsClosed && file.IsClosed);
        Assert.Empty(graph.Nodes);
        Assert.Equal(DefaultPermissions.Writer, file.Held); // its locks are kept until it is closed
    }

    [Fact]
    public async Task A_conflict_changes_nothing_and_closes_what_was_new()
    {
        var graph = new BlockGraph();
        var file = new FakeNode("file");
        var writer = await graph.AttachAsync(file, ChildRole.None, DefaultPermissions.Writer, "first");
        var other = new FakeNode("other", 1 << 20, new BlockEdge(file, FileRole, DefaultPermissions.Reader, "file"));
        var e = await Assert.ThrowsAsync<BlockException>(async () => await graph.AttachAsync(other, ChildRole.None, DefaultPermissions.Reader));
        Assert.Equal(ErrorCode.Locked, e.Code);
        Assert.Equal(
            "The use of 'file' by 'first' conflicts with use by 'other' as 'file', which does not allow 'write, resize' on 'file'.", e.Message);
        Assert.True(other.IsClosed);
        Assert.False(file.IsClosed);
        Assert.Same(writer, Assert.Single(file.Parents));
        Assert.Equal([file], graph.Nodes);
        await graph.SetPermissionsAsync(writer, DefaultPermissions.Reader);
        await writer.DisposeAsync();
        Assert.True(file.IsClosed);
    }

    [Fact]
    public async Task A_driver_that_refuses_undoes_what_the_others_took()
    {
        var graph = new BlockGraph();
        var file = new FakeNode("file");
        var data = new FakeNode("data");
        var top = new FakeNode(
            "top", 1 << 20, new BlockEdge(file, FileRole, DefaultPermissions.Reader, "file"), new BlockEdge(data, ChildRole.Data, DefaultPermissions.Reader, "data-file"));
        var root = await graph.AttachAsync(top, ChildRole.None, DefaultPermissions.Reader);
        var before = (file.Held, data.Held, root.Permissions);
        foreach (var refuser in new[] { file, data, top })
        {
            refuser.Refuses = p => (p.Used & Permissions.Write) != 0;
            await Assert.ThrowsAsync<BlockException>(async () => await graph.SetPermissionsAsync(root, DefaultPermissions.Writer));
            refuser.Refuses = _ => false;
            Assert.All(new[] { file, data, top }, n => Assert.Null(n.Prepared));
            Assert.Equal(before, (file.Held, data.Held, root.Permissions));
        }

        await graph.SetPermissionsAsync(root, DefaultPermissions.Writer);
        await root.DisposeAsync();
    }

    [Fact]
    public async Task When_a_user_leaves_the_others_give_back_what_it_called_for()
    {
        var graph = new BlockGraph();
        var file = new FakeNode("file");
        var reader = await graph.AttachAsync(file, ChildRole.None, new(Permissions.ConsistentRead, Permissions.All));
        var writer = await graph.AttachAsync(file, ChildRole.None, new(Permissions.Write, Permissions.All));
        Assert.Equal(Permissions.ConsistentRead | Permissions.Write, file.Held!.Value.Used);
        await writer.DisposeAsync();
        Assert.Equal(Permissions.ConsistentRead, file.Held!.Value.Used);
        await reader.DisposeAsync();
        Assert.True(file.IsClosed);
    }

    [Fact]
    public async Task Names_are_unique()
    {
        var graph = new BlockGraph();
        await using var a = await graph.AttachAsync(new FakeNode("#block001"), ChildRole.None, DefaultPermissions.Reader);
        await using var b = await graph.AttachAsync(new FakeNode(""), ChildRole.None, DefaultPermissions.Reader);
        Assert.Equal("#block002", b.Node.Name);
        var e = await Assert.ThrowsAsync<BlockException>(
            async () => await graph.AttachAsync(new FakeNode("#block002"), ChildRole.None, DefaultPermissions.Reader));
        Assert.Equal(ErrorCode.Exists, e.Code);
    }

    [Fact]
    public async Task An_edge_is_led_to_another_node_as_a_whole_or_not_at_all()
    {
        var graph = new BlockGraph();
        var old = new FakeNode("old");
        var root = await graph.AttachAsync(old, ChildRole.None, DefaultPermissions.Writer);
        var locked = new FakeNode("locked") { Refuses = _ => true };
        var change = await graph.BeginChangeAsync();
        await using (change)
        {
            change.Replace(root, locked);
            await Assert.ThrowsAsync<BlockException>(async () => await change.CommitAsync());
        }

        Assert.Same(old, root.Node);
        Assert.False(old.IsClosed);
        var next = new FakeNode("next");
        change = await graph.BeginChangeAsync();
        await using (change)
        {
            change.Replace(root, next);
            await change.CommitAsync();
        }

        Assert.Same(next, root.Node);
        Assert.True(old.IsClosed);
        Assert.Equal(DefaultPermissions.Writer, next.Held);
        Assert.Equal([next], graph.Nodes);
        await root.WriteAsync(0, new byte[1]);
        await root.DisposeAsync();
        Assert.True(next.IsClosed);
    }

    [Fact]
    public async Task A_filter_goes_in_between_without_closing_what_is_below()
    {
        var graph = new BlockGraph();
        var disk = new FakeNode("disk");
        var root = await graph.AttachAsync(disk, ChildRole.None, DefaultPermissions.Writer);
        var filter = new FakeNode("filter", 1 << 20, new BlockEdge(disk, ChildRole.Filtered, DefaultPermissions.ForceShare, "file"));
        var change = await graph.BeginChangeAsync();
        await using (change)
        {
            change.Replace(root, filter);
            await change.CommitAsync();
        }

        Assert.False(disk.IsClosed);
        Assert.Equal(DefaultPermissions.Writer, filter.Children[0].Permissions);
        Assert.Same(filter, filter.Children[0].Parent);
        await root.DisposeAsync();
        Assert.True(disk.IsClosed && filter.IsClosed);
    }

    [Fact]
    public async Task A_child_that_does_not_close_keeps_nothing_else_open_and_is_reported()
    {
        var graph = new BlockGraph();
        var file = new FakeNode("file") { FailsToClose = true };
        var data = new FakeNode("data");
        var top = new FakeNode(
            "top", 1 << 20, new BlockEdge(file, FileRole, DefaultPermissions.Reader, "file"), new BlockEdge(data, ChildRole.Data, DefaultPermissions.Reader, "data-file"));
        var root = await graph.AttachAsync(top, ChildRole.None, DefaultPermissions.Reader);
        var e = await Assert.ThrowsAsync<BlockException>(async () => await root.DisposeAsync());
        Assert.Equal("file does not close.", e.Message);
        Assert.True(file.IsClosed && data.IsClosed && top.IsClosed);
        Assert.Empty(graph.Nodes);
        await (await graph.AttachAsync(new FakeNode("next"), ChildRole.None, DefaultPermissions.Writer)).DisposeAsync();
    }

    private static async Task EdgeRefuses(BlockEdge edge, ErrorCode code) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<BlockException>(async () => await edge.WriteAsync(0, new byte[1]))).Code);
}
