using Byre.Filters;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What becomes of clusters, and of the header, where the file fails for a while.</summary>
public class ReleaseTests
{
    [Fact]
    public async Task Clusters_whose_release_fails_are_released_later()
    {
        var (file, fault, image) = await FilledAsync();
        await image.DiscardAsync(0, 2 << 20);
        fault.Add(new FaultRule { Kinds = FaultKinds.Discard, Count = long.MaxValue });
        await image.FlushAsync();
        await image.FlushAsync();
        await image.FlushAsync();
        Assert.NotEqual(0, fault.Hits);
        fault.Clear();
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "after the release failed once"); // no leaks either
    }

    [Fact]
    public async Task A_release_that_never_succeeds_is_told_when_the_image_is_closed()
    {
        var (file, fault, image) = await FilledAsync();
        await image.DiscardAsync(0, 2 << 20);
        fault.Add(new FaultRule { Kinds = FaultKinds.Read, Count = long.MaxValue });
        await image.FlushAsync(); // what the guest flushes is durable all the same
        await image.FlushAsync();
        await image.FlushAsync();
        Assert.NotEqual(0, fault.Hits);
        await Assert.ThrowsAsync<BlockException>(async () => await image.DisposeAsync());
        var again = await TestImage.OpenAsync(file);
        var seen = new byte[2 << 20];
        await again.ReadAsync(0, seen);
        Assert.Equal(new byte[2 << 20], seen);
        await again.DisposeAsync();
    }

    [Fact]
    public async Task A_header_that_may_or_may_not_be_written_is_written_again()
    {
        var file = TestImage.Create(1 << 20, "cluster_size=512");
        var fault = new FaultNode(new BlockEdge(new KeepOpenNode(file), ChildRole.Filtered | ChildRole.Primary, TestImage.All, "file"), new FaultOptions());
        var edge = new BlockEdge(fault, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var store = await HeaderStore.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), writable: true);
        fault.Add(new FaultRule { Kinds = FaultKinds.Flush });
        await Assert.ThrowsAsync<BlockException>(async () => await store.UpdateAsync(h => h with { Size = 512 << 10 }));
        Assert.Equal(1 << 20, store.Header.Size);
        Assert.Equal(512 << 10, (await Qcow2HeaderReader.ReadAsync(edge)).Size); // it reached the file, and nobody knows
        await store.SettleAsync();
        Assert.Equal(1 << 20, (await Qcow2HeaderReader.ReadAsync(edge)).Size);
        await edge.DisposeAsync();
    }

    private static async Task<(MemoryNode File, FaultNode Fault, BlockEdge Image)> FilledAsync()
    {
        var file = TestImage.Create(2 << 20, "cluster_size=512,refcount_bits=64");
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, new byte[2 << 20].Select((_, i) => (byte)(i | 1)).ToArray());
        await image.DisposeAsync();
        var fault = new FaultNode(new BlockEdge(new KeepOpenNode(file), ChildRole.Filtered | ChildRole.Primary, TestImage.All, "file"), new FaultOptions());
        var edge = new BlockEdge(fault, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var node = await Qcow2Node.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), null, null, new Qcow2OpenOptions { RefcountCacheBytes = 4096 });
        return (file, fault, new BlockEdge(node, ChildRole.None, TestImage.All));
    }
}
