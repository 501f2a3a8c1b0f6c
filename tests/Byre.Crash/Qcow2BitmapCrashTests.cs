using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// A crash at any moment leaves bitmaps that are inconsistent or right: one that can be trusted says of everything that was
/// written since it was made that it is dirty. A check finds leaks at most.
/// </summary>
public class Qcow2BitmapCrashTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("cluster_size=512", 1 << 20, 512)]
    [InlineData("cluster_size=4k,refcount_bits=64", 2 << 20, 4096)]
    [InlineData("cluster_size=64k", 4 << 20, 65_536)]
    public async Task No_crash_leaves_a_bitmap_that_is_wrong_and_trusted(string options, int size, int granularity)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            var start = await BitmapSessions.MakeAsync(directory, options, size, granularity);
            var sessions = new BitmapSessions(size, granularity);
            var log = new WriteLogNode(new BlockEdge(new MemoryNode((byte[])start.Clone()), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
            using var keep = new KeptNode(log);
            await sessions.RunAsync(log, mayFail: false);
            await InspectAsync(sessions, new CrashFile(start, log.Entries), log.Clock.Now + 1, log.Entries);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Theory]
    [InlineData(1 << 20, 6 << 20)]
    [InlineData(6 << 20, 1 << 20)]
    public async Task No_crash_of_a_resize_leaves_a_bitmap_that_is_wrong_and_trusted(int from, int to)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            var start = await BitmapSessions.MakeAsync(directory, "cluster_size=512", from, 512);
            var log = new WriteLogNode(new BlockEdge(new MemoryNode((byte[])start.Clone()), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
            using var keep = new KeptNode(log);
            await using (var edge = await Qcow2Images.OpenAsync(log, null, null, new Qcow2OpenOptions()))
            {
                await edge.ResizeAsync(to);
                await edge.WriteAsync(to - 512, SectorContent.Make(1, 0, 1));
            }

            var file = new CrashFile(start, log.Entries);
            var ticks = log.Entries.Select(e => e.Began).Append(log.Clock.Now + 1).ToArray();
            var random = new Random(2);
            for (var i = 0; i < 150; i++)
            {
                var tick = ticks[i % ticks.Length];
                using var image = Keep(i < ticks.Length ? file.Prefix(tick) : file.Reordered(tick, random), out var node);
                var length = await LengthAsync(node);
                var problem = await new BitmapSessions((int)length, 512).ProblemAsync(node, isClosed: false);
                Assert.True(problem is null, $"{i}, tick {tick}: {problem}");
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task InspectAsync(BitmapSessions sessions, CrashFile file, long end, IReadOnlyList<WriteLogEntry> entries)
    {
        var ticks = entries.Where(e => e.IsChange || e.Kind == WriteLogKind.Flush).Select(e => e.Began).ToArray();
        var random = new Random(1);
        for (var i = 0; i < ticks.Length; i++)
        {
            using var prefix = Keep(file.Prefix(ticks[i]), out var image);
            var problem = await sessions.ProblemAsync(image, isClosed: false);
            Assert.True(problem is null, $"prefix up to tick {ticks[i]}: {problem}");
            using var reordered = Keep(file.Reordered(ticks[i], random), out image);
            problem = await sessions.ProblemAsync(image, isClosed: false);
            Assert.True(problem is null, $"reordering at tick {ticks[i]}: {problem}");
        }

        using var last = Keep(file.Prefix(end), out var closed);
        var left = await sessions.ProblemAsync(closed, isClosed: true);
        Assert.True(left is null, $"in the end: {left}");
    }

    private static async Task<long> LengthAsync(MemoryNode node)
    {
        await using var edge = await Qcow2Images.OpenAsync(node, null, null, new Qcow2OpenOptions { ReadOnly = true });
        return edge.Length;
    }

    private static KeptNode Keep(byte[] bytes, out MemoryNode node) => new(node = new MemoryNode(bytes));
}
