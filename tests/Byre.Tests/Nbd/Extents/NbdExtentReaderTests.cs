using System.Globalization;
using Byre.Nbd.Client;
using Byre.Nbd.Client.Extents;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Nbd.Client;

namespace Byre.Tests.Nbd.Extents;

public class NbdExtentReaderTests
{
    [Fact]
    public async Task Contexts_of_unequal_lengths_are_cut_to_a_common_length_and_nothing_is_asked_twice()
    {
        var server = new FakeContexts(
            ("base:allocation", "100:3 50:0 50:2 100:1"), ("qemu:allocation-depth", "120:0 180:1"), ("qemu:dirty-bitmap:b", "10:1 290:0"));
        var reader = server.Reader();
        Assert.Equal(
            "0+10 zero hole dirty@0; 10+90 zero hole@0; 100+20 @0; 120+30 @1; 150+50 zero @1; 200+100 hole@1", await ReadAllAsync(reader, 300));
        Assert.Equal((1, 1L), (server.Questions.Count, reader.Questions));
    }

    [Fact]
    public async Task Where_one_context_stops_early_the_server_is_asked_from_there()
    {
        var server = new FakeContexts(("base:allocation", "1000:0"), ("qemu:dirty-bitmap:b", string.Join(' ', Enumerable.Repeat("10:1 10:0", 50))))
        {
            Limit = 20,
        };
        var reader = server.Reader();
        var extents = await ReadAllAsync(reader, 1000);
        Assert.Equal(100, extents.Split("; ").Length);
        Assert.Equal(["0+1000", "200+800", "400+600", "600+400", "800+200"], server.Questions);
    }

    [Fact]
    public async Task What_reaches_further_is_kept_and_what_reaches_less_far_does_not_replace_it()
    {
        // The first answer tells of the bitmap as far as 60; the next one about base, from 20 on, as far as 40 only.
        var asked = 0;
        NbdStatusQuestion question = (offset, _, sink) =>
        {
            sink.Begin(offset, 2);
            sink.Add(0, new NbdStatusDescriptor(20, 0));
            if (asked++ == 0)
            {
                sink.Add(1, new NbdStatusDescriptor(60, 1));
            }
            else
            {
                Assert.NotEqual(0, offset);
                sink.Add(1, new NbdStatusDescriptor(20, 0));
            }

            return new([new(0, "base:allocation"), new(7, "qemu:dirty-bitmap:b")]);
        };
        var reader = new NbdExtentReader(question, 60);
        Assert.Equal("0+20  dirty; 20+20  dirty; 40+20  dirty", await ReadAllAsync(reader, 60));
        Assert.Equal(3, asked);
    }

    [Fact]
    public async Task What_reaches_further_than_what_is_known_replaces_it()
    {
        // The first answer tells of the bitmap as far as 60, of which 20 are used; the second one as far as 100.
        NbdStatusQuestion question = (offset, _, sink) =>
        {
            sink.Begin(offset, 2);
            sink.Add(0, new NbdStatusDescriptor(offset == 0 ? 20UL : 80, 0));
            sink.Add(1, new NbdStatusDescriptor(offset == 0 ? 60UL : 80, 1));
            return new([new(0, "base:allocation"), new(7, "qemu:dirty-bitmap:b")]);
        };
        var reader = new NbdExtentReader(question, 100);
        Assert.Equal("0+20  dirty; 20+80  dirty", await ReadAllAsync(reader, 100));
        Assert.Equal(2, reader.Questions);
    }

    [Fact]
    public async Task A_joined_context_alone_tells_everything()
    {
        var server = new FakeContexts(("byre:joint", "10:3 10:4 10:7 10:8 10:20 10:52"));
        Assert.Equal(
            "0+10 zero hole@0; 10+10 @1; 20+10 zero hole@1; 30+10 @2; 40+10  dirty@1; 50+10  dirty@1/3", await ReadAllAsync(server.Reader(), 60));
    }

    [Fact]
    public async Task A_dirty_bit_is_no_hole_and_a_true_depth_wins_over_a_joined_one()
    {
        var server = new FakeContexts(
            ("qemu:dirty-bitmap:a", "10:0 10:1"), ("qemu:dirty-bitmap:b", "5:1 15:0"), ("qemu:joint-allocation", "20:8"), ("qemu:allocation-depth", "20:5"));
        var reader = server.Reader();
        Assert.Equal(new NbdExtent(0, 5, false, false, true, 5, 2), await reader.AtAsync(0, 20));
        Assert.Equal(new NbdExtent(5, 5, false, false, false, 5), await reader.AtAsync(5, 20));
        Assert.Equal(new NbdExtent(10, 3, false, false, true, 5, 1), await reader.AtAsync(10, 13));
        Assert.Equal(1, reader.Questions);
    }

    [Fact]
    public async Task Another_connection_may_have_other_numbers_orders_and_contexts()
    {
        var first = new FakeContexts(("base:allocation", "10:3 90:0"), ("qemu:dirty-bitmap:b", "100:1")) { Limit = 1 };
        var second = new FakeContexts(("qemu:dirty-bitmap:b", "50:1 50:0"), ("base:allocation", "10:3 90:0"));
        var asked = 0;
        var reader = new NbdExtentReader((offset, length, sink) => (asked++ == 0 ? first : second).AskAsync(offset, length, sink), 100);
        Assert.Equal("0+10 zero hole dirty; 10+40  dirty; 50+50 ", await ReadAllAsync(reader, 100));
    }

    [Fact]
    public async Task Questions_keep_to_what_the_server_takes()
    {
        var server = new FakeContexts(("base:allocation", "1536:0 2048:1 1416:0"));
        var reader = new NbdExtentReader(server.AskAsync, 5000, alignment: 512, maxLength: 2000);
        Assert.Equal(1536 - 700, (await reader.AtAsync(700, 1536)).Length);
        Assert.Equal(5000, (await reader.AtAsync(4000, 5000)).End);
        Assert.Equal(["512+1024", "3584+1416"], server.Questions);
        reader.Forget();
        await reader.AtAsync(0, 5000);
        Assert.Equal("0+1536", server.Questions[^1]);
    }

    [Fact]
    public async Task A_server_that_says_nothing_is_an_error()
    {
        var reader = new NbdExtentReader(
            (offset, _, sink) =>
            {
                sink.Begin(offset, 0);
                return new(Array.Empty<NbdMetaContext>());
            },
            10);
        var failure = await Assert.ThrowsAsync<BlockException>(async () => await reader.AtAsync(3, 10));
        Assert.Equal(ErrorCode.Io, failure.Code);
    }

    [Fact]
    public async Task Random_contexts_read_in_any_order_are_told_as_they_are()
    {
        var seed = Environment.TickCount;
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            string[] names = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:x", "x-unknown:thing"];
            var texts = names.Select(_ => RandomText(random)).ToArray();
            var server = new FakeContexts([.. names.Zip(texts)]) { Limit = random.Next(1, 6) };
            var reader = server.Reader();
            for (var n = 0; n < 12; n++)
            {
                var offset = random.NextInt64(200);
                var end = random.NextInt64(offset + 1, 201);
                for (; offset < end; offset = (await reader.AtAsync(offset, end)).End)
                {
                    var e = await reader.AtAsync(offset, end);
                    for (var at = e.Start; at < e.End; at++)
                    {
                        var allocation = FakeContexts.FlagsAt(texts[0], at);
                        var model = new NbdExtent(
                            e.Start, e.Length, (allocation & 2) != 0, (allocation & 1) != 0, (FakeContexts.FlagsAt(texts[2], at) & 1) != 0,
                            (int)FakeContexts.FlagsAt(texts[1], at), FakeContexts.FlagsAt(texts[2], at) & 1);
                        Assert.True(model == e, $"seed {seed} round {round} at {at}: {e}, not {model}");
                    }
                }
            }
        }
    }

    [Fact]
    public async Task Where_bitmaps_tell_for_themselves_the_joined_ones_are_left_out_and_those_beyond_64_are_only_dirty()
    {
        var joined = new FakeContexts(("byre:joint", "10:20"), ("qemu:dirty-bitmap:b", "10:0"));
        Assert.Equal(new NbdExtent(0, 10, false, false, false, 1), await joined.Reader().AtAsync(0, 10));
        var many = new FakeContexts([.. Enumerable.Range(0, 66).Select(i => ($"qemu:dirty-bitmap:{i}", i == 65 ? "10:1" : "10:0"))]);
        Assert.Equal(new NbdExtent(0, 10, false, false, true, -1), await many.Reader().AtAsync(0, 10));
    }

    [Fact]
    public async Task A_depth_beyond_all_numbers_is_still_a_depth()
    {
        var server = new FakeContexts(("qemu:allocation-depth", $"10:{ulong.MaxValue}"));
        Assert.Equal(int.MaxValue, (await server.Reader().AtAsync(0, 10)).Depth);
    }

    [Fact]
    public async Task A_connection_without_extended_headers_is_asked_in_32_bits()
    {
        const long size = 1L << 40;
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(size: (ulong)size);
            var (request, _) = peer.ReadRequest();
            peer.Status(request, 7, [(request.Length, 3)]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var extent = await NbdExtentReader.Of(client).AtAsync(0, size);
        Assert.True(extent is { Start: 0, Length: > 1L << 31 and < 1L << 32, Zero: true, Hole: true }, extent.ToString());
    }

    private static string RandomText(Random random)
    {
        var parts = new List<string>();
        for (var rest = 200; rest > 0;)
        {
            var n = Math.Min(rest, random.Next(1, 40));
            rest -= n;
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"{n}:{random.Next(4)}"));
        }

        return string.Join(' ', parts);
    }

    private static async Task<string> ReadAllAsync(NbdExtentReader reader, long size)
    {
        var parts = new List<string>();
        for (var at = 0L; at < size;)
        {
            var e = await reader.AtAsync(at, size);
            Assert.Equal(at, e.Start);
            parts.Add($"{e.Start}+{e.Length} {(e.Zero ? "zero " : "")}{(e.Hole ? "hole" : "")}{(e.Dirty ? " dirty" : "")}"
                + $"{(e.Depth < 0 ? "" : "@" + e.Depth)}{(e.DirtyIn > 1 ? "/" + e.DirtyIn : "")}");
            at = e.End;
        }

        return string.Join("; ", parts);
    }

    /// <summary>A server whose contexts are written as "LENGTH:FLAGS ...".</summary>
    private sealed class FakeContexts(params (string Name, string Extents)[] contexts)
    {
        public List<string> Questions { get; } = [];

        public int Limit { get; init; } = int.MaxValue;

        public NbdExtentReader Reader() => new(AskAsync, contexts[0].Extents.Split(' ').Sum(e => long.Parse(e.Split(':')[0], CultureInfo.InvariantCulture)));

        public static ulong FlagsAt(string text, long at)
        {
            foreach (var (length, flags) in Parse(text))
            {
                if (at < length)
                {
                    return flags;
                }

                at -= length;
            }

            return ulong.MaxValue;
        }

        public ValueTask<IReadOnlyList<NbdMetaContext>> AskAsync(long offset, long length, NbdStatusSink sink)
        {
            Questions.Add($"{offset}+{length}");
            sink.Begin(offset, contexts.Length);
            for (var i = 0; i < contexts.Length; i++)
            {
                var (at, given) = (0L, 0);
                foreach (var (size, flags) in Parse(contexts[i].Extents))
                {
                    if (at + size > offset && at < offset + length && given++ < Limit)
                    {
                        sink.Add(i, new NbdStatusDescriptor((ulong)(at + size - Math.Max(at, offset)), flags));
                    }

                    at += size;
                }
            }

            return new(contexts.Select((c, i) => new NbdMetaContext((uint)i, c.Name)).ToArray());
        }

        private static IEnumerable<(long Length, ulong Flags)> Parse(string text) => text.Split(' ').Select(part =>
        {
            var pair = part.Split(':');
            return (long.Parse(pair[0], CultureInfo.InvariantCulture), ulong.Parse(pair[1], CultureInfo.InvariantCulture));
        });
    }
}
