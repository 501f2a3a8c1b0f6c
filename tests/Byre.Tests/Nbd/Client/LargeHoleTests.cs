using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Client;

/// <summary>Walks over holes that are longer than one question can be.</summary>
public sealed class LargeHoleTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_large_hole_is_walked_with_several_questions_at_once_where_each_is_limited(bool blocking)
    {
        const long size = 1L << 40;
        const long longest = (1L << 32) - (64 << 10);
        var batches = new List<int>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Structured, size: (ulong)size);
            for (var (at, most) = (0L, 1); at < size; most = Math.Min(most * 2, 16))
            {
                // So many must come before any is answered; the answers come in the other order.
                var batch = Enumerable.Range(0, (int)Math.Min(most, ((size - at - 1) / longest) + 1)).Select(_ => peer.ReadRequest().Header).ToList();
                batches.Add(batch.Count);
                at += batch.Sum(request => (long)request.Length);
                foreach (var request in Enumerable.Reverse(batch))
                {
                    peer.Status(request, 7, [(request.Length, 3)]);
                }
            }

            peer.WaitForEnd();
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Blocking = blocking });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        var extents = new ExtentList();
        extents.Reset(0, size);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(new BlockExtent(0, size, ExtentState.Zero, ExtentFlags.Hole, 0, node, 1), Assert.Single(extents.Items.ToArray()));
        Assert.Equal([1, 2, 4, 8, 16], batches.Take(5));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(int.MaxValue)]
    public async Task Pieces_between_large_holes_are_found_however_far_the_server_answers(int most)
    {
        // What is where: pieces of random lengths, holes and data in turn.
        const long size = 1L << 40;
        var random = new Random(most);
        var edges = new List<long> { 0 };
        while (edges[^1] < size)
        {
            edges.Add(Math.Min(size, edges[^1] + (65536L * (edges.Count % 2 == 1 ? random.NextInt64(1, 1 << 22) : random.Next(1, 100)))));
        }

        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Structured, size: (ulong)size);
            while (true)
            {
                var (request, _) = peer.ReadRequest();
                if (request.Command == NbdCommand.Disconnect)
                {
                    return;
                }

                var (at, end) = ((long)request.Offset, (long)(request.Offset + request.Length));
                var answer = new List<(ulong, ulong)>();
                for (var i = 0; i + 1 < edges.Count && answer.Count < most && at < end; i++)
                {
                    if (edges[i + 1] > at)
                    {
                        answer.Add(((ulong)(Math.Min(end, edges[i + 1]) - at), i % 2 == 0 ? 3UL : 0));
                        at = Math.Min(end, edges[i + 1]);
                    }
                }

                peer.Status(request, 7, [.. answer]);
            }
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options });
        await using var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything);
        foreach (var (from, limit) in new[] { (0L, int.MaxValue), (12345L * 512, 3), (size / 3 / 512 * 512, 1) })
        {
            var found = new List<long>();
            var extents = new ExtentList();
            for (var at = from; at < size; at = extents.End)
            {
                extents.Reset(at, size - at, limit);
                await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
                foreach (var extent in extents.Items)
                {
                    Assert.Equal(edges.FindLastIndex(e => e <= extent.Start) % 2 == 0, extent.State == ExtentState.Zero);
                    Assert.True(edges.BinarySearch(extent.End) >= 0 || extents.End == extent.End, $"an extent ends at {extent.End}");
                    found.Add(extent.Start);
                }
            }

            Assert.Equal(edges.Where(e => e > from && e < size), found.Where(edges.Contains).Where(e => e > from));
        }
    }
}
