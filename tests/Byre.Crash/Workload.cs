using Byre.Filters;
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

    /// <summary>Stands between the format and the log; a test that breaks something puts a filter here.</summary>
    public Func<BlockNode, BlockNode> AboveLog { get; init; } = node => node;

    /// <summary>Makes the image and runs the workload.</summary>
    public async Task<CrashRun> RunAsync()
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            return await RunAsync(directory);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private async Task<CrashRun> RunAsync(string directory)
    {
        var backing = configuration.BackingSectors == 0 ? null : SectorContent.Make(SectorContent.Backing, 0, configuration.BackingSectors);
        await CreateAsync(directory, backing);
        var image = Path.Combine(directory, "disk.qcow2");
        var dataPath = Path.Combine(directory, "data.raw");
        var model = new GuestModel(
            configuration.Sectors, i => i < configuration.BackingSectors ? SectorContent.Backing : SectorContent.Zero);
        byte[]? snapshot = null;
        if (configuration.HasSnapshot)
        {
            snapshot = await PrepareSnapshotAsync(directory, image, backing, model);
        }

        var start = await File.ReadAllBytesAsync(image);
        var dataStart = configuration.HasDataFile ? await File.ReadAllBytesAsync(dataPath) : null;
        var log = MakeLog(start);
        var dataLog = dataStart is null ? null : MakeLog(dataStart);
        var edge = await Qcow2Images.OpenAsync(
            AboveLog(log), dataLog is null ? null : AboveLog(dataLog), backing is null ? null : new MemoryNode(backing), configuration.OpenOptions);
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
        var closes = random.Next(2) == 0;
        if (closes)
        {
            var began = clock.Advance();
            await edge.DisposeAsync();
            model.AddFlush(began, clock.Advance());
        }

        var run = new CrashRun(
            configuration, seed, model, clock, new CrashFile(start, log.Entries), dataLog is null ? null : new CrashFile(dataStart!, dataLog.Entries), backing)
        {
            Snapshot = snapshot,
            WasClosed = closes,
        };
        if (!closes)
        {
            await edge.DisposeAsync(); // after the log was taken: the crash came first
        }

        return run;
    }

    private async Task CreateAsync(string directory, byte[]? backing)
    {
        var arguments = new List<string> { "create", "-q", "-f", "qcow2", "-o", configuration.Options };
        if (backing is not null)
        {
            await File.WriteAllBytesAsync(Path.Combine(directory, "base.raw"), backing);
            arguments.AddRange(["-b", "base.raw", "-F", "raw"]);
        }

        arguments.AddRange(["disk.qcow2", $"{configuration.Sectors * SectorContent.Size}"]);
        await ExternalTool.RunAsync("qemu-img", directory, [.. arguments]);
    }

    /// <summary>Writes to the disk, closes it, and lets qemu-img make a snapshot.</summary>
    private async Task<byte[]> PrepareSnapshotAsync(string directory, string image, byte[]? backing, GuestModel model)
    {
        var log = MakeLog(await File.ReadAllBytesAsync(image));
        var edge = await Qcow2Images.OpenAsync(log, null, backing is null ? null : new MemoryNode(backing), configuration.OpenOptions);
        var start = new MutableBytes(await File.ReadAllBytesAsync(image)).ToArray();
        for (var i = 0; i < 12; i++)
        {
            await WriteAsync(edge, model, 0, configuration.Sectors, WriteFlags.None);
        }

        var content = await Qcow2Images.ReadAllAsync(edge);
        var began = clock.Advance();
        await edge.DisposeAsync();
        model.AddFlush(began, clock.Advance());
        await File.WriteAllBytesAsync(image, new CrashFile(start, log.Entries).Prefix(long.MaxValue));
        await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-c", "first", "disk.qcow2");
        return content;
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

    private Task WriteAsync(BlockEdge edge, GuestModel model, int first, int count, WriteFlags flags)
    {
        var (from, length) = Range(first, count);
        var value = ++lastValue;
        return DoAsync(model, new GuestChangeRequest(value, from, length, (flags & WriteFlags.Fua) != 0), () =>
            edge.WriteAsync((long)from * SectorContent.Size, SectorContent.Make(value, from, length), flags));
    }

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
            < 70 => () => DoAsync(model, new GuestChangeRequest(value, from, length), () =>
                edge.WriteAsync(offset, SectorContent.Make(value, from, length))),
            < 80 => () => DoAsync(model, new GuestChangeRequest(SectorContent.Zero, from, length), () =>
                edge.WriteZeroesAsync(offset, bytes, mayUnmap)),
            < 90 => () => DoAsync(model, new GuestChangeRequest(SectorContent.Zero, from, length, IsDiscard: true), () =>
                edge.DiscardAsync(offset, bytes)),
            _ => async () =>
            {
                var began = clock.Advance();
                await edge.FlushAsync();
                lock (model)
                {
                    model.AddFlush(began, clock.Advance());
                }
            },
        };
    }

    private async Task DoAsync(GuestModel model, GuestChangeRequest request, Func<ValueTask> operation)
    {
        var change = new GuestChange(request.Value, request.IsDiscard, request.IsFua, clock.Advance());
        lock (model)
        {
            model.Add(change, request.First, request.Count);
        }

        await operation();
        change.Ended = clock.Advance();
    }

    private async Task VerifyLiveAsync(BlockEdge edge, GuestModel model)
    {
        var content = await Qcow2Images.ReadAllAsync(edge, random.Next(1, 40) * 4096);
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
