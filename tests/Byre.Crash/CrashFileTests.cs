using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Crash;

/// <summary>The replay and the model are themselves tested: they decide what every other test here sees.</summary>
public class CrashFileTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Fact]
    public async Task Reorderings_keep_what_was_flushed_and_reach_every_subset_of_the_rest()
    {
        var (log, edge) = Make(512 * 4);
        await edge.WriteAsync(0, Filled(1, 512));
        await edge.FlushAsync();
        await edge.WriteAsync(512, Filled(2, 512));
        await edge.WriteAsync(0, Filled(3, 512));
        await edge.WriteZeroesAsync(1024, 512);
        var start = Filled(9, 512 * 4);
        var file = new CrashFile(start, log.Entries);
        var tick = log.Clock.Now + 1;
        Assert.Equal("3 2 0 9", Text(file.Prefix(tick)));
        Assert.Equal("9 9 9 9", Text(file.Prefix(log.Entries[0].Began)));
        Assert.Equal("1 9 9 9", Text(file.Prefix(log.Entries[2].Began)));
        var random = new Random(1);
        var seen = new SortedSet<string>(Enumerable.Range(0, 400).Select(_ => Text(file.Reordered(tick, random))), StringComparer.Ordinal);
        Assert.Equal("1 2 0 9,1 2 9 9,1 9 0 9,1 9 9 9,3 2 0 9,3 2 9 9,3 9 0 9,3 9 9 9", string.Join(',', seen));
        seen = new(Enumerable.Range(0, 100).Select(_ => Text(file.Reordered(log.Entries[1].Ended, random))), StringComparer.Ordinal);
        Assert.Equal("1 9 9 9,9 9 9 9", string.Join(',', seen)); // the flush had not yet completed
        seen = new(Enumerable.Range(0, 100).Select(_ => Text(file.Reordered(log.Entries[1].Ended + 1, random))), StringComparer.Ordinal);
        Assert.Equal("1 9 9 9", Assert.Single(seen));
        await edge.DisposeAsync();
    }

    [Fact]
    public async Task Writes_tear_at_sectors_and_resizes_are_replayed()
    {
        var (log, edge) = Make(512);
        await edge.WriteAsync(0, Filled(1, 1024));
        var file = new CrashFile(Filled(9, 512), log.Entries);
        var random = new Random(2);
        var seen = new SortedSet<string>(Enumerable.Range(0, 600).Select(_ => Text(file.Reordered(long.MaxValue, random))), StringComparer.Ordinal);
        Assert.Equal("1,1 1,9,9 1", string.Join(',', seen)); // "1": the part past the old end is missing
        await edge.WriteAsync(1024, Filled(2, 512), WriteFlags.Fua);
        await edge.ResizeAsync(512);
        await edge.ResizeAsync(1024);
        file = new CrashFile(Filled(9, 512), log.Entries);
        Assert.Equal("1 0", Text(file.Prefix(long.MaxValue)));
        seen = new(Enumerable.Range(0, 100).Select(_ => Text(file.Reordered(log.Entries[2].Began, random))), StringComparer.Ordinal);
        Assert.All(seen, s => Assert.EndsWith(" 2", s, StringComparison.Ordinal)); // FUA needs no flush
        await edge.DisposeAsync();
    }

    [Fact]
    public void The_model_knows_what_is_legal()
    {
        var model = new GuestModel(1, _ => SectorContent.Backing);
        Assert.Equal([SectorContent.Backing], model.Legal(0, 0));
        model.Add(new GuestChange(1, false, false, 1) { Ended = 2 }, 0, 1);
        model.Add(new GuestChange(2, false, false, 3) { Ended = 4 }, 0, 1);
        model.AddFlush(5, 6);
        model.Add(new GuestChange(0, true, false, 7) { Ended = 8 }, 0, 1);
        model.AddFlush(9, 10);
        model.Add(new GuestChange(3, false, true, 11) { Ended = 14 }, 0, 1);
        Assert.Equal([SectorContent.Backing], Legal(1));
        Assert.Equal([1, SectorContent.Backing], Legal(2));
        Assert.Equal([1, 2, SectorContent.Backing], Legal(6));
        Assert.Equal([2], Legal(7));
        Assert.Equal([0, 2], Legal(9));
        Assert.Equal([0, 2], Legal(11)); // a discard, flushed, may have done nothing
        Assert.Equal([0, 2, 3], Legal(14));
        Assert.Equal([3], Legal(15));
        Assert.Null(model.Verify(SectorContent.Make(3, 0, 1), 15));
        Assert.Contains("sector 0 holds the value 2", model.Verify(SectorContent.Make(2, 0, 1), 15), StringComparison.Ordinal);
        Assert.Contains("foreign", model.Verify(Filled(7, 512), 15), StringComparison.Ordinal);

        // While requests are in flight a read sees them or not, byte by byte; what was there before them it does not see.
        var torn = SectorContent.Make(2, 0, 1);
        Assert.Null(model.VerifyRead(torn, 0, 1, 4));
        SectorContent.Make(1, 0, 1).AsSpan(0, 256).CopyTo(torn);
        Assert.Null(model.VerifyRead(torn, 0, 1, 4));
        Assert.NotNull(model.VerifyRead(torn, 0, 5, 6));
        Assert.NotNull(model.VerifyRead(SectorContent.Make(SectorContent.Backing, 0, 1), 0, 3, 5));
        Assert.Null(model.VerifyRead(SectorContent.Make(3, 0, 1), 0, 15, 16));
        Assert.NotNull(model.VerifyRead(SectorContent.Make(2, 0, 1), 0, 15, 16));

        IEnumerable<int> Legal(long tick) => model.Legal(0, tick).Order();
    }

    private static byte[] Filled(byte value, int length)
    {
        var data = new byte[length];
        data.AsSpan().Fill(value);
        return data;
    }

    private static string Text(byte[] content) =>
        string.Join(' ', content.Chunk(512).Select(s => s.AsSpan().ContainsAnyExcept(s[0]) ? "?" : $"{s[0]}"));

    private static (WriteLogNode Log, BlockEdge Edge) Make(int length)
    {
        var log = new WriteLogNode(new BlockEdge(new MemoryNode(length), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
        return (log, new BlockEdge(log, ChildRole.None, Everything));
    }
}
