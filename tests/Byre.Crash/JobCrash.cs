using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Crash;

/// <summary>What a job did to several files, and the images of them that a crash may leave behind.</summary>
internal sealed class JobCrash
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private readonly CrashFile[] files;
    private readonly long[] ticks;

    private JobCrash(CrashFile[] files, long[] ticks, long done)
    {
        this.files = files;
        this.ticks = ticks;
        Done = done;
    }

    /// <summary>When the job had returned.</summary>
    public long Done { get; }

    /// <summary>Runs a job over files in memory.</summary>
    /// <param name="starts">What they hold before.</param>
    /// <param name="job">Gets a node for each.</param>
    /// <param name="after">Goes on with them after the job, or null.</param>
    public static async Task<JobCrash> RunAsync(byte[][] starts, Func<BlockNode[], Task> job, Func<BlockNode[], Task>? after = null)
    {
        var clock = new WriteLogClock();
        var logs = starts.Select(s => new WriteLogNode(Edge(new MemoryNode((byte[])s.Clone())), clock)).ToArray();
        var keep = logs.Select(l => new KeptNode(l)).ToArray();
        await job(logs);
        var done = logs[0].Clock.Now;
        if (after is not null)
        {
            await after(logs);
        }

        var files = starts.Select((s, i) => new CrashFile(s, logs[i].Entries)).ToArray();
        var ticks = files.SelectMany(f => f.Entries).Where(e => e.IsChange || e.Kind == WriteLogKind.Flush).Select(e => e.Began).Order()
            .Append(clock.Now + 1).ToArray();
        foreach (var kept in keep)
        {
            kept.Dispose();
        }

        return new JobCrash(files, ticks, done);
    }

    /// <summary>Inspects what is left after crashes at up to so many moments, in order, and as often after reorderings.</summary>
    /// <param name="most">How many of each.</param>
    /// <param name="seed">Of the reorderings.</param>
    /// <param name="inspect">Gets the files' content, whether the job had returned, and what was done to them.</param>
    public async Task InspectAsync(int most, int seed, Func<byte[][], bool, string, Task> inspect)
    {
        var step = Math.Max(1, ticks.Length / most);
        for (var i = 0; i < ticks.Length; i += step)
        {
            var tick = ticks[i];
            await inspect([.. files.Select(f => f.Prefix(tick))], tick > Done, $"prefix up to tick {tick}");
        }

        var random = new Random(seed);
        for (var i = 0; i < most; i++)
        {
            var tick = ticks[random.Next(ticks.Length)];
            await inspect([.. files.Select(f => f.Reordered(tick, random))], tick > Done, $"reordering {i} (seed {seed}) at tick {tick}");
        }
    }

    private static BlockEdge Edge(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file");
}
