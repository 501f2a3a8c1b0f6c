using Byre.Graph;
using Byre.Nodes;
using Byre.Requests;
using FsCheck;
using FsCheck.Fluent;

namespace Byre.Tests.Requests;

public class LeaseTests
{
    [Fact]
    public async Task A_lease_waits_for_what_is_in_flight_and_holds_back_what_overlaps()
    {
        var node = new GatedNode(1000);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var early = edge.WriteAsync(0, new byte[100]).AsTask();
        var leasing = edge.LockRangeAsync(0, 200).AsTask();
        Assert.False(leasing.IsCompleted);
        var overlapping = edge.ReadAsync(150, new byte[100]).AsTask();
        var apart = edge.ReadAsync(200, new byte[100]).AsTask();
        Assert.Equal(["write", "read"], node.InFlight.Select(r => r.Kind));
        Assert.Equal(200, node.InFlight[1].Offset);
        node.CompleteAll();
        await early;
        await apart;
        var lease = await leasing;
        Assert.False(overlapping.IsCompleted);
        Assert.Empty(node.InFlight);
        var own = lease.WriteAsync(100, new byte[100]).AsTask();
        node.Complete(Assert.Single(node.InFlight));
        await own;
        await EdgeTests.Refused(() => lease.WriteAsync(150, new byte[100]), ErrorCode.OutOfRange);
        await EdgeTests.Refused(() => lease.ReadAsync(900, new byte[200]), ErrorCode.OutOfRange);
        await lease.DisposeAsync();
        await lease.DisposeAsync();
        await EdgeTests.Until(() => node.InFlight.Count == 1);
        node.CompleteAll();
        await overlapping;
        Assert.True(node.Tracker.TryEnter()); // the gate is open again
        node.Tracker.Leave();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await lease.ReadAsync(0, new byte[1]));
    }

    [Fact]
    public async Task Leases_are_granted_in_the_order_they_were_asked_for()
    {
        var node = new GatedNode(1000);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var first = await edge.LockRangeAsync(0, 500);
        var second = edge.LockRangeAsync(400, 200).AsTask();
        var third = edge.LockRangeAsync(500, 500).AsTask();
        var apart = await edge.LockRangeAsync(2000, 10);
        Assert.False(second.IsCompleted || third.IsCompleted);
        await apart.DisposeAsync();
        await first.DisposeAsync();
        var lease = await second;
        Assert.False(third.IsCompleted);
        await lease.DisposeAsync();
        await (await third).DisposeAsync();
        Assert.Equal(0, node.Tracker.InFlight);
    }

    [Fact]
    public async Task A_lease_covers_whole_blocks()
    {
        await using var edge = new BlockEdge(
            new ModelNode(new byte[10_000], new BlockLimits { RequestAlignment = 512 }), ChildRole.None, EdgeTests.Everything);
        await using var lease = await edge.LockRangeAsync(1000, 100);
        Assert.Equal((512, 1024), (lease.Offset, lease.Length));
        await Task.WhenAll(Enumerable.Range(0, 10).Select(i => lease.WriteAsync(520 + (i * 10), new byte[] { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }).AsTask()));
        var buffer = new byte[100];
        await lease.ReadAsync(520, buffer);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (byte)((i % 10) + 1)), buffer);
        await lease.WriteZeroesAsync(520, 50);
        await lease.DiscardAsync(512, 512);
    }

    [Fact]
    public async Task Shrinking_waits_for_requests_beyond_the_new_end()
    {
        var node = new ModelNode(new byte[1000], BlockLimits.Default);
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var lease = await edge.LockRangeAsync(600, 10);
        var below = await edge.LockRangeAsync(100, 10);
        var shrinking = edge.ResizeAsync(500).AsTask();
        var late = edge.ReadAsync(490, new byte[100]).AsTask();
        Assert.False(shrinking.IsCompleted);
        await lease.DisposeAsync();
        await shrinking;
        Assert.Equal(ErrorCode.OutOfRange, (await Assert.ThrowsAsync<BlockException>(() => late)).Code);
        await below.DisposeAsync();
    }

    [Fact]
    public async Task A_drain_holds_users_back_and_lets_what_is_in_flight_end()
    {
        var leaf = new GatedNode(1000);
        var shared = new BlockEdge(leaf, ChildRole.Filtered, EdgeTests.Everything);
        var top = new EdgeTests.PassNode(shared);
        await using var user = new BlockEdge(top, ChildRole.None, EdgeTests.Everything);
        await using var other = new BlockEdge(leaf, ChildRole.None, EdgeTests.Everything);
        var inFlight = user.ReadAsync(0, new byte[10]).AsTask();
        var draining = leaf.DrainAsync().AsTask(); // covers the parent above as well
        var held = user.ReadAsync(0, new byte[10]).AsTask();
        var alsoHeld = other.FlushAsync().AsTask();
        var lease = other.LockRangeAsync(0, 10).AsTask();
        Assert.Single(leaf.InFlight);
        Assert.False(draining.IsCompleted);
        leaf.CompleteAll();
        await inFlight;
        var drain = await draining;
        var nested = await top.DrainAsync();
        await drain.DisposeAsync();
        await drain.DisposeAsync();
        await Task.Delay(10);
        Assert.Empty(leaf.InFlight);
        Assert.False(held.IsCompleted || alsoHeld.IsCompleted || lease.IsCompleted);
        await nested.DisposeAsync();
        await EdgeTests.Until(() =>
        {
            leaf.CompleteAll();
            return alsoHeld.IsCompleted && lease.IsCompleted;
        });
        await (await lease).DisposeAsync();
        await EdgeTests.Until(() =>
        {
            leaf.CompleteAll();
            return held.IsCompleted;
        });
    }

    [Fact]
    public async Task A_parent_that_arrives_over_a_drained_node_is_drained_too()
    {
        var leaf = new ModelNode(new byte[100], BlockLimits.Default);
        var below = new BlockEdge(leaf, ChildRole.Filtered, EdgeTests.Everything);
        var drain = await leaf.DrainAsync();
        await using var user = new BlockEdge(new EdgeTests.PassNode(below), ChildRole.None, EdgeTests.Everything);
        var read = user.ReadAsync(0, new byte[1]).AsTask();
        await Task.Delay(10);
        Assert.False(read.IsCompleted);
        await drain.DisposeAsync();
        await read;
    }

    /// <summary>
    /// Random interleavings of requests, leases and drains, completed in any order: while a lease is held nobody else is in its
    /// range, while a node is drained nothing is in flight, and in the end everybody was served.
    /// </summary>
    [Fact]
    public void No_interleaving_breaks_a_promise_or_hangs() =>
        Prop.ForAll(
            ArbMap.Default.GeneratorFor<byte>().ArrayOf().Resize(120).ToArbitrary(),
            script => Task.Run(() => RunAsync(script)).GetAwaiter().GetResult())
            .Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    private static async Task RunAsync(byte[] script)
    {
        var node = new GatedNode(64);
        var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var requests = new List<Task>();
        var leases = new List<Task<RangeLease>>();
        var drains = new List<Task<Drain>>();
        for (var i = 0; i + 1 < script.Length; i += 2)
        {
            var (offset, length) = (script[i + 1] % 56, (script[i + 1] / 56) + 1);
            switch (script[i] % 8)
            {
                case 0:
                    requests.Add(edge.ReadAsync(offset, new byte[length]).AsTask());
                    break;
                case 1:
                    requests.Add(edge.WriteAsync(offset, new byte[length]).AsTask());
                    break;
                case 2:
                    leases.Add(edge.LockRangeAsync(offset, length * 4).AsTask());
                    break;
                case 3 when leases.Find(l => l.IsCompleted) is { } granted:
                    leases.Remove(granted);
                    await (await granted).DisposeAsync();
                    break;
                case 4 when leases.Find(l => l.IsCompleted) is { } granted:
                    var before = node.InFlight;
                    var lease = await granted;
                    if (lease.Offset < 64)
                    {
                        var task = lease.WriteAsync(lease.Offset, new byte[1]).AsTask();
                        var mine = node.InFlight.Single(r => !before.Contains(r) && r.Kind == "write" && r.Offset == lease.Offset);
                        node.Complete(mine);
                        await task;
                    }

                    break;
                case 5 when drains.Count < 3 && leases.Count == 0:
                    drains.Add(node.DrainAsync().AsTask());
                    break;
                case 6 when drains.Find(d => d.IsCompleted) is { } drain:
                    drains.Remove(drain);
                    await (await drain).DisposeAsync();
                    break;
                default:
                    if (node.InFlight is { Count: > 0 } flying)
                    {
                        node.Complete(flying[script[i + 1] % flying.Count]);
                    }

                    break;
            }

            // First who holds what, then what is in flight: only this method gives leases and drains back.
            var held = leases.Where(l => l.IsCompleted).Select(l => l.Result).ToArray();
            var atRest = drains.Any(d => d.IsCompleted);
            var inFlight = node.InFlight;
            Assert.False(atRest && inFlight.Count > 0);
            Assert.DoesNotContain(inFlight, r => held.Any(l => r.Offset < l.Offset + l.Length && l.Offset < r.Offset + r.Length));
            for (var a = 0; a < held.Length; a++)
            {
                Assert.DoesNotContain(held.Skip(a + 1), b => b.Offset < held[a].Offset + held[a].Length && held[a].Offset < b.Offset + b.Length);
            }
        }

        for (var i = 0; requests.Exists(r => !r.IsCompleted) || leases.Count > 0 || drains.Count > 0; i++)
        {
            Assert.True(i < 5000, "Somebody is never served.");
            node.CompleteAll();
            foreach (var lease in leases.FindAll(l => l.IsCompleted))
            {
                leases.Remove(lease);
                await (await lease).DisposeAsync();
            }

            foreach (var drain in drains.FindAll(d => d.IsCompleted))
            {
                drains.Remove(drain);
                await (await drain).DisposeAsync();
            }

            await (i < 50 ? Task.CompletedTask : Task.Delay(1));
        }

        await Task.WhenAll(requests);
        await EdgeTests.Until(() => node.Tracker.InFlight == 0);
        Assert.True(node.Tracker.TryEnter());
        node.Tracker.Leave();
        var closing = edge.DisposeAsync().AsTask();
        await EdgeTests.Until(() =>
        {
            node.CompleteAll();
            return closing.IsCompleted;
        });
    }
}
