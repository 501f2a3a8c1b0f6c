using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>A write-back round that fails has not unlinked anything: what was freed before it stays untouched.</summary>
public class FailedRoundTests
{
    private const int Cluster = 4096;
    private const int Crashes = 60;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Fact]
    public async Task Clusters_freed_before_a_failed_round_are_not_used_until_their_unlinking_is_durable()
    {
        var start = await MakeAsync();
        var log = new WriteLogNode(Edge(new MemoryNode((byte[])start.Clone())));
        var fault = new FaultNode(Edge(log), new FaultOptions());
        var edge = await Qcow2Images.OpenAsync(fault, null, null, new Qcow2OpenOptions());
        var old = SectorContent.Make(1, 0, Cluster / SectorContent.Size);
        await edge.WriteAsync(0, old);
        await edge.FlushAsync();
        await edge.DiscardAsync(0, Cluster);
        fault.Add(new FaultRule { Kinds = FaultKinds.Write });
        await Assert.ThrowsAsync<BlockException>(async () => await edge.Node.WriteBackAsync());
        Assert.Equal(1, fault.Hits);
        await edge.Node.WriteBackAsync(); // writes the table without the link, which is not durable yet
        await edge.WriteAsync(Cluster, SectorContent.Make(2, 8, Cluster / SectorContent.Size));
        var file = new CrashFile(start, log.Entries);
        var tick = log.Clock.Now + 1;
        var random = new Random(1);
        for (var i = 0; i < Crashes; i++)
        {
            var left = new MemoryNode(file.Reordered(tick, random));
            using var keep = new KeptNode(left);
            Assert.Null(Qcow2Images.Problem(await Qcow2Images.CheckAsync(left)));
            await using var after = await Qcow2Images.OpenAsync(left, null, null, new Qcow2OpenOptions { ReadOnly = true });
            var content = new byte[Cluster];
            await after.ReadAsync(0, content);
            Assert.True(content.AsSpan().SequenceEqual(old) || !content.AsSpan().ContainsAnyExcept((byte)0), $"crash {i}: another cluster's data");
        }

        await edge.DisposeAsync();
    }

    private static async Task<byte[]> MakeAsync()
    {
        var node = new MemoryNode(0);
        using var keep = new KeptNode(node);
        await using (var edge = Edge(node))
        {
            await Qcow2Creator.CreateAsync(edge, null, new Qcow2CreateOptions { Size = 64 * Cluster, ClusterBits = 12 });
        }

        await using var image = Edge(node);
        return await Qcow2Images.ReadAllAsync(image);
    }

    private static BlockEdge Edge(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file");
}
