using Byre.Cli.NbdInfo;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Nbd.Client;

namespace Byre.Tests.Cli;

public class StatusWalkTests
{
    private const long Longest = (1L << 32) - (1 << 20);

    [Theory]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task A_large_hole_costs_few_round_trips(NbdHeaderStyle style)
    {
        const long size = 1L << 40;
        var batches = new List<int>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, size: (ulong)size);
            for (var (at, most) = (0L, 1); at < size; most = Math.Min(most * 2, 16))
            {
                // So many must come before any is answered; the answers come in the other order.
                var count = style == NbdHeaderStyle.Extended ? 1 : (int)Math.Min(batches.Count < 5 ? most : 1, ((size - at - 1) / Longest) + 1);
                var batch = Enumerable.Range(0, count).Select(_ => peer.ReadRequest().Header).ToList();
                batches.Add(count);
                at += batch.Sum(request => (long)request.Length);
                foreach (var request in Enumerable.Reverse(batch))
                {
                    peer.Status(request, 7, [(request.Length, 3)]);
                }
            }

            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var found = 0L;
        await new StatusWalk(client).RunAsync((length, flags) => found += flags == 3 ? length : 0);
        Assert.Equal(size, found);
        Assert.Equal(style == NbdHeaderStyle.Extended ? [1] : [1, 2, 4, 8, 16], batches.Take(5));
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Structured, 1)]
    [InlineData(NbdHeaderStyle.Structured, 5)]
    [InlineData(NbdHeaderStyle.Structured, int.MaxValue)]
    [InlineData(NbdHeaderStyle.Extended, 5)]
    public async Task Every_piece_is_found_once_however_far_the_server_answers(NbdHeaderStyle style, int most)
    {
        const long size = (1L << 38) + 512;
        var random = new Random(most);
        var edges = new List<long> { 0 };
        while (edges[^1] < size)
        {
            edges.Add(Math.Min(size, edges[^1] + (65536L * (edges.Count % 2 == 1 ? random.NextInt64(1, 1 << 20) : random.Next(1, 100)))));
        }

        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, size: (ulong)size);
            while (peer.ReadRequest().Header is { Command: not NbdCommand.Disconnect } request)
            {
                var (at, end) = ((long)request.Offset, (long)(request.Offset + request.Length));
                var answer = new List<(ulong, ulong)>();
                for (var i = 0; i + 1 < edges.Count && answer.Count < most && at < end; i++)
                {
                    if (edges[i + 1] > at)
                    {
                        answer.Add(((ulong)(Math.Min(end, edges[i + 1]) - at), (ulong)i + 1));
                        at = Math.Min(end, edges[i + 1]);
                    }
                }

                peer.Status(request, 7, [.. answer]);
            }
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var totals = new SortedDictionary<ulong, long>();
        var last = 0UL;
        await new StatusWalk(client).RunAsync((length, flags) =>
        {
            Assert.True(flags >= last, $"{flags} comes after {last}");
            last = flags;
            totals[flags] = totals.GetValueOrDefault(flags) + length;
        });
        Assert.Equal(edges.Zip(edges.Skip(1), (from, to) => to - from), totals.Values);
    }

    [Fact]
    public async Task What_fails_behind_a_short_answer_is_asked_again()
    {
        const long size = 16L << 30;
        var failed = 0;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Structured, size: (ulong)size);
            var first = peer.ReadRequest().Header;
            peer.Status(first, 7, [(first.Length, 0)]);
            var (second, third) = (peer.ReadRequest().Header, peer.ReadRequest().Header);
            peer.Error(third, NbdError.Io);
            failed++;
            peer.Status(second, 7, [(4096, 3)]);
            while (peer.ReadRequest().Header is { Command: not NbdCommand.Disconnect } request)
            {
                peer.Status(request, 7, [(request.Length, 0)]);
            }
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var found = new List<(long, ulong)>();
        await new StatusWalk(client).RunAsync((length, flags) => found.Add((length, flags)));
        Assert.Equal(1, failed);
        Assert.Equal([(Longest, 0UL), (4096, 3UL)], found.Take(2));
        Assert.Equal(size, found.Sum(extent => extent.Item1));
    }

    [Fact]
    public async Task An_error_of_the_first_question_in_flight_is_the_walks()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Structured, size: 16UL << 30);
            var first = peer.ReadRequest().Header;
            peer.Status(first, 7, [(first.Length, 0)]);
            peer.Error(peer.ReadRequest().Header, NbdError.Io, "broken"); // the third one is never answered
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var failure = await Assert.ThrowsAsync<BlockException>(() => new StatusWalk(client).RunAsync((_, _) => { }));
        Assert.Equal(ErrorCode.Io, failure.Code);
    }
}
