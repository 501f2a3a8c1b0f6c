using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>A random workload on an image that stands on write logs.</summary>
internal sealed class Workload(CrashConfiguration configuration, int seed)
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private readonly Random random = new(seed);
    private readonly WriteLogClock clock = new();
    private int lastValue;

    /// <summary>Stands between the format and the log of its file; a test that breaks something puts a filter here.</summary>
    public Func<BlockNode, BlockNode> AboveLog { get; init; } = node => node;

    /// <summary>The same for the external data file.</summary>
    public Func<BlockNode, BlockNode> AboveDataLog { get; init; } = node => node;

    /// <summary>Requests may fail: then what they did is not known, and the workload goes on. It ends with closing the image.</summary>
    public bool MayFail { get; init; }

    /// <summary>Makes the image and runs the workload.</summary>
    public async Task<CrashRun> RunAsync() => await RunAsync(await CrashImage.MakeAsync(configuration, seed));

    /// <summary>Runs the workload on an image.</summary>
    public async Task<CrashRun> RunAsync(CrashImage image)
    {
        var model = image.MakeModel();
        var log = MakeLog(image.File);
        var dataLog = image.DataFile is null ? null : MakeLog(image.DataFile);
        var closes = false;
        Qcow2Node? node = null;
        CrashRun Result() => new(
            configuration, seed, model, clock, new CrashFile(image.File, log.Entries), dataLog is null ? null : new CrashFile(image.DataFile!, dataLog.Entries), image.Backing)
        {
            Snapshot = image.Snapshot,
            UncountedReleases = node?.UncountedReleases ?? 0,
            WasClosed = closes,
        };

        BlockEdge edge;
        try
        {
            edge = await Qcow2Images.OpenAsync(
                new KernelCopyNode(AboveLog(log)), dataLog is null ? null : AboveDataLog(dataLog), image.MakeBacking(), configuration.OpenOptions);
        }
        catch (BlockException) when (MayFail)
        {
            return Result();
        }

        node = (Qcow2Node)edge.Node;
        for (var i = 0; i < configuration.Operations; i++)
        {
            // Requests in flight at the same time touch different sectors, but may share clusters.
            if (seed % 2 == 1 && random.Next(6) == 0)
            {
                await TogetherAsync(edge, model);
            }
            else
            {
                await StepAsync(edge, model, 0, configuration.Sectors);
            }

            if (random.Next(10) == 0)
            {
                await VerifyLiveAsync(edge, model);
            }
        }

        await VerifyLiveAsync(edge, model);
        closes = MayFail || random.Next(2) == 0;
        if (closes)
        {
            var began = clock.Advance();
            try
            {
                await edge.DisposeAsync();
                model.AddFlush(began, clock.Advance());
            }
            catch (BlockException) when (MayFail)
            {
                closes = false;
            }

            return Result();
        }

        var run = Result();
        await edge.DisposeAsync(); // after the log was taken: the crash came first
        return run;
    }

    private WriteLogNode MakeLog(byte[] content) => new(
        new BlockEdge(new MemoryNode(content), ChildRole.Filtered | ChildRole.Primary, Everything, "file"), clock);

    private async Task TogetherAsync(BlockEdge edge, GuestModel model)
    {
        var parts = random.Next(2, 5);
        var size = configuration.Sectors / parts;
        var first = random.Next(configuration.Sectors);
        var cluster = configuration.SectorsPerCluster;
        if (cluster >= parts && random.Next(2) == 0)
        {
            size = cluster / parts; // all of them in one cluster
            first = first / cluster * cluster;
        }
        else
        {
            first = 0;
        }

        var steps = new List<Func<Task>>();
        for (var i = 0; i < parts; i++)
        {
            var from = first + (i * size);
            if (size > 0 && from + size <= configuration.Sectors)
            {
                steps.Add(Plan(edge, model, from, size));
            }
        }

        await Task.WhenAll(steps.Select(Task.Run));
    }

    private async Task StepAsync(BlockEdge edge, GuestModel model, int first, int count) => await Plan(edge, model, first, count)();

    /// <summary>Draws a request to some of the sectors in a range, which can then be made at any time.</summary>
    private Func<Task> Plan(BlockEdge edge, GuestModel model, int first, int count)
    {
        var kind = random.Next(100);
        var (from, length) = kind is >= 45 and < 70 ? Clusters(first, count) : Range(first, count);
        var (offset, bytes) = ((long)from * SectorContent.Size, (long)length * SectorContent.Size);
        var value = ++lastValue;
        var mayUnmap = random.Next(2) == 0 ? WriteFlags.MayUnmap : WriteFlags.None;
        return kind switch
        {
            < 5 => () => DoAsync(model, new GuestChangeRequest(value, from, length, true), () =>
                edge.WriteAsync(offset, SectorContent.Make(value, from, length), WriteFlags.Fua)),
            < 45 => () => DoAsync(model, new GuestChangeRequest(value, from, length), () =>
                edge.WriteAsync(offset, SectorContent.Make(value, from, length))),
            < 58 when configuration.Compresses && IsWholeClusters(from, length) => () => DoAsync(model, new GuestChangeRequest(value, from, length), () =>
                edge.WriteAsync(offset, SectorContent.Make(value, from, length), WriteFlags.Compressed)),
            < 66 when IsWholeClusters(from, length) => () => DoAsync(model, new GuestChangeRequest(value, from, length), () =>
                CopyAsync(edge, offset, SectorContent.Make(value, from, length))),
            < 70 => () => DoAsync(model, new GuestChangeRequest(value, from, length), () =>
                edge.WriteAsync(offset, SectorContent.Make(value, from, length))),
            < 80 => () => DoAsync(model, new GuestChangeRequest(SectorContent.Zero, from, length), () =>
                edge.WriteZeroesAsync(offset, bytes, mayUnmap)),
            < 90 => () => DoAsync(model, new GuestChangeRequest(SectorContent.Zero, from, length, IsDiscard: true), () =>
                edge.DiscardAsync(offset, bytes)),
            _ => async () =>
            {
                var began = clock.Advance();
                try
                {
                    await edge.FlushAsync();
                }
                catch (BlockException) when (MayFail)
                {
                    return;
                }

                lock (model)
                {
                    model.AddFlush(began, clock.Advance());
                }
            },
        };
    }

    /// <summary>Copies into the image as far as the kernel does it, and writes the rest.</summary>
    private static async ValueTask CopyAsync(BlockEdge edge, long offset, byte[] data)
    {
        await using var source = new BlockEdge(new MemoryNode(data), ChildRole.Filtered | ChildRole.Primary, Everything, "source");
        var mode = data[0] % 3 == 0 ? CopyRangeMode.ReflinkOnly : CopyRangeMode.Any;
        var done = await edge.CopyRangeAsync(offset, source.Node, 0, data.Length, mode);
        if (done < data.Length)
        {
            await edge.WriteAsync(offset + done, data.AsMemory((int)done));
        }
    }

    private async Task DoAsync(GuestModel model, GuestChangeRequest request, Func<ValueTask> operation)
    {
        var change = new GuestChange(request.Value, request.IsDiscard, request.IsFua, clock.Advance());
        lock (model)
        {
            model.Add(change, request.First, request.Count);
        }

        try
        {
            await operation();
        }
        catch (BlockException) when (MayFail)
        {
            change.IsUncertain = true;
        }

        change.Ended = clock.Advance();
    }

    private async Task VerifyLiveAsync(BlockEdge edge, GuestModel model)
    {
        byte[] content;
        try
        {
            content = await Qcow2Images.ReadAllAsync(edge, random.Next(1, 40) * 4096);
        }
        catch (BlockException) when (MayFail)
        {
            return;
        }

        var problem = model.VerifyLive(content);
        Assert.True(problem is null, $"{configuration.Name}, seed {seed}, without a crash: {problem}");
    }

    private (int First, int Count) Range(int first, int count)
    {
        var from = first + random.Next(count);
        var most = random.Next(3) == 0 ? configuration.SectorsPerCluster * 3 : Math.Max(4, configuration.SectorsPerCluster / 4);
        return (from, random.Next(1, 1 + Math.Min(most, first + count - from)));
    }

    private (int First, int Count) Clusters(int first, int count)
    {
        var cluster = configuration.SectorsPerCluster;
        var from = (first + random.Next(count)) / cluster * cluster;
        return from < first ? Range(first, count) : (from, Math.Min(random.Next(1, 4) * cluster, first + count - from));
    }

    private bool IsWholeClusters(int first, int count) =>
        first % configuration.SectorsPerCluster == 0
        && (count % configuration.SectorsPerCluster == 0 || first + count == configuration.Sectors);

    private sealed record GuestChangeRequest(int Value, int First, int Count, bool IsFua = false, bool IsDiscard = false);
}
