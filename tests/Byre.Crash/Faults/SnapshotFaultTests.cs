using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>
/// Every request to the file of an operation on snapshots fails in turn, alone or with all that follow it: an operation that
/// does not say so has happened, the disk reads on and is written on, and what is left on disk is as after a crash: the
/// operation happened or it did not.
/// </summary>
public class SnapshotFaultTests
{
    private const int Sectors = 150;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("cluster_size=512,refcount_bits=64", "create")]
    [InlineData("cluster_size=512,refcount_bits=64", "apply")]
    [InlineData("cluster_size=512,refcount_bits=64", "delete")]
    [InlineData("cluster_size=4k", "create")]
    [InlineData("cluster_size=4k", "state")]
    [InlineData("cluster_size=4k", "apply")]
    [InlineData("cluster_size=4k", "delete")]
    [InlineData("cluster_size=4k,compat=0.10", "create")]
    [InlineData("cluster_size=4k,compat=0.10", "apply")]
    [InlineData("cluster_size=4k,compat=0.10", "delete")]
    [InlineData("cluster_size=4k,lazy_refcounts=on", "create")]
    [InlineData("cluster_size=4k,lazy_refcounts=on", "apply")]
    [InlineData("cluster_size=4k,lazy_refcounts=on", "delete")]
    [InlineData("cluster_size=16k,extended_l2=on", "apply")]
    public async Task An_operation_of_which_a_request_fails_did_happen_or_did_not(string options, string operation)
    {
        var start = await Qcow2SnapshotCrashTests.MakeAsync(options, Sectors);
        foreach (var count in new[] { 1, 0 })
        {
            var hit = true;
            for (var n = 1; hit; n++)
            {
                hit = await FailAsync(start, operation, new FaultRule { First = n, Count = count }, $"{options}, {operation}, request {n}{(count == 0 ? " and on" : "")}");
            }
        }
    }

    private static async Task<bool> FailAsync(byte[] start, string operation, FaultRule rule, string what)
    {
        var node = new MemoryNode((byte[])start.Clone());
        using var keep = new KeptNode(node);
        var fault = new FaultNode(new BlockEdge(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file"), new FaultOptions());
        var edge = await Qcow2Images.OpenAsync(fault, null, null, new Qcow2OpenOptions());
        var before = new SnapshotHistory { Disk = SectorContent.Make(1, 0, Sectors) };
        before.Keep("first");
        before.Disk = SectorContent.Make(2, 0, Sectors);
        await edge.WriteAsync(0, SectorContent.Make(3, 0, 20)); // what is written but not flushed belongs to it
        SectorContent.Make(3, 0, 20).CopyTo(before.Disk, 0);
        var after = before.Clone();
        fault.Add(rule);
        var failed = false;
        try
        {
            await RunAsync(edge, operation, after);
        }
        catch (BlockException)
        {
            failed = true;
        }

        var hit = fault.Hits > 0;
        fault.Clear();
        if (rule.Count == 1)
        {
            // The image goes on: nothing is lost of what was flushed, nor of what is written now.
            var disk = await Qcow2Images.ReadAllAsync(edge);
            Assert.True(disk.AsSpan().SequenceEqual(before.Disk) || disk.AsSpan().SequenceEqual(after.Disk), $"{what}: the disk reads otherwise");
            foreach (var history in new[] { before, after })
            {
                SectorContent.Make(5, 50, 40).CopyTo(history.Disk, 50 * 512);
            }

            await edge.WriteAsync(50 * 512, SectorContent.Make(5, 50, 40));
        }

        try
        {
            await edge.DisposeAsync();
        }
        catch (BlockException e)
        {
            Assert.Fail($"{what}: the image cannot be closed: {e.Message}");
        }

        var left = new byte[node.Length];
        await node.ReadAsync(0, left);
        await Qcow2SnapshotCrashTests.InspectAsync(left, before, after, isDone: !failed, what);
        return hit;
    }

    private static async Task RunAsync(BlockEdge edge, string operation, SnapshotHistory after)
    {
        var store = (ISnapshotStore)edge.Node;
        switch (operation)
        {
            case "create":
                after.Keep("second");
                await store.CreateSnapshotAsync(new SnapshotRequest { Name = "second" });
                break;
            case "state":
                after.Keep("second");
                await ((IVmStateStore)edge.Node).WriteVmStateAsync(0, new byte[10_000]);
                await store.CreateSnapshotAsync(new SnapshotRequest { Name = "second", VmStateSize = 10_000 });
                break;
            case "apply":
                after.Apply("first");
                await store.ApplySnapshotAsync(SnapshotSelector.Of("first"));
                break;
            default:
                after.Snapshots.Remove("first");
                await store.DeleteSnapshotAsync(SnapshotSelector.Of("first"));
                break;
        }
    }
}
