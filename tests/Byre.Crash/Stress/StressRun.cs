using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Stress;

/// <summary>
/// Threads that make requests to one image in a real file at the same time; then the image is closed, checked and compared
/// with a model of the disk by Byre and by QEMU's tools. Where there is a log, also the images that crashes meanwhile leave.
/// </summary>
internal sealed class StressRun(CrashConfiguration configuration, int seed, string directory, int steps)
{
    private const int Threads = 6;
    private const int Crashes = 12;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly string image = Path.Combine(directory, "disk.qcow2");
    private readonly string dataPath = Path.Combine(directory, "data.raw");
    private readonly int allSectors = Math.Max(configuration.Sectors, configuration.GrowsTo);
    private Action<bool> setFails = _ => { };

    /// <summary>Makes the image and runs.</summary>
    /// <returns>What went wrong, or null.</returns>
    public async Task<string?> FindProblemAsync()
    {
        var model = new GuestModel(allSectors, i => i < configuration.BackingSectors ? SectorContent.Backing : SectorContent.Zero);
        var state = new StressState(model, configuration.Sectors);
        var backing = await CreateAsync();
        if (configuration.HasSnapshot)
        {
            await RunThreadsAsync(await OpenAsync(), state, steps / 4);
            await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-c", "first", "disk.qcow2");
            await ExternalTool.RunAsync("qemu-img", directory, "convert", "-l", "snapshot.name=first", "-O", "raw", "disk.qcow2", "first.raw");
        }

        var start = configuration.IsLogged ? await File.ReadAllBytesAsync(image) : [];
        WriteLogNode? log = null;
        await RunThreadsAsync(await OpenAsync(node => configuration.IsLogged ? log = Log(node, state.Clock) : node), state, steps);
        return state.Problem
            ?? await CheckAsync(model, state.Sectors)
            ?? (log is null ? null : await CrashAsync(model, state.Clock, new CrashFile(start, log.Entries), backing));
    }

    private static WriteLogNode Log(BlockNode node, WriteLogClock clock) => new(
        new BlockEdge(node, ChildRole.Filtered | ChildRole.Primary, new(Permissions.All, Permissions.All), "file"), clock);

    private async Task<byte[]?> CreateAsync()
    {
        var arguments = new List<string> { "create", "-q", "-f", "qcow2", "-o", configuration.Options };
        byte[]? backing = null;
        if (configuration.BackingSectors > 0)
        {
            backing = SectorContent.Make(SectorContent.Backing, 0, configuration.BackingSectors);
            await File.WriteAllBytesAsync(Path.Combine(directory, "base.raw"), backing);
            arguments.AddRange(["-b", "base.raw", "-F", "raw"]);
        }

        await ExternalTool.RunAsync(
            "qemu-img", directory, [.. arguments, "disk.qcow2", $"{(long)configuration.Sectors * SectorContent.Size}"]);
        return backing;
    }

    /// <summary>Opens the image over its real files. What is synced is not, since nothing crashes in earnest.</summary>
    private Task<BlockEdge> OpenAsync(Func<BlockNode, BlockNode>? log = null, bool readOnly = false)
    {
        var file = Open(image, readOnly);
        return Qcow2Images.OpenAsync(
            readOnly || !configuration.Jitters ? file : Jitter(log is null ? file : log(file)),
            configuration.HasDataFile ? Open(dataPath, readOnly) : null,
            configuration.BackingSectors > 0 ? Open(Path.Combine(directory, "base.raw"), readOnly: true) : null,
            configuration.OpenOptions with { ReadOnly = readOnly });
    }

    private JitterNode Jitter(BlockNode below)
    {
        var node = new JitterNode(below, configuration.Fails);
        setFails = fails => node.Fails = fails;
        return node;
    }

    private static FileNode Open(string path, bool readOnly) =>
        FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = readOnly, Cache = CacheMode.Unsafe });

    private async Task RunThreadsAsync(BlockEdge edge, StressState state, int count)
    {
        var threads = Enumerable.Range(0, Threads)
            .Select(i => new Thread(() => new StressWorker(configuration, seed, i, state).Run(edge, count)) { IsBackground = true })
            .ToList();
        setFails(true);
        threads.ForEach(t => t.Start());
        if (configuration.GrowsTo > 0)
        {
            await GrowAsync(edge, state);
        }

        if (!threads.TrueForAll(t => t.Join(Patience)))
        {
            state.Report("the requests do not end");
            return; // closing would not end either
        }

        setFails(false);
        try
        {
            await edge.DisposeAsync();
        }
        catch (BlockException e)
        {
            state.Report($"closing: {e.Message}");
        }
    }

    /// <summary>Makes the disk longer in steps, while the threads use what there is of it.</summary>
    private async Task GrowAsync(BlockEdge edge, StressState state)
    {
        const int Steps = 8;
        for (var i = 1; i <= Steps; i++)
        {
            await Task.Delay(10);
            var next = configuration.Sectors + (int)((long)(configuration.GrowsTo - configuration.Sectors) * i / Steps);
            await edge.ResizeAsync((long)next * SectorContent.Size);
            state.Sectors = next;
        }
    }

    private async Task<string?> CheckAsync(GuestModel model, int sectors)
    {
        var report = await Qcow2Images.CheckAsync(Open(image, readOnly: true));
        if (Qcow2Images.Problem(report, leaksCount: configuration.Fails == 0) is { } found)
        {
            return "closed: " + found;
        }

        var edge = await OpenAsync(readOnly: true);
        var content = await Qcow2Images.ReadAllAsync(edge);
        await edge.DisposeAsync();
        if (content.Length != sectors * SectorContent.Size)
        {
            return $"the disk has {content.Length} bytes";
        }

        if (model.VerifyLive(content) is { } wrong)
        {
            return "reopened: " + wrong;
        }

        await File.WriteAllBytesAsync(Path.Combine(directory, "expected.raw"), content);
        return await RunQemuAsync("check", "disk.qcow2")
            ?? await RunQemuAsync("compare", "-f", "qcow2", "-F", "raw", "disk.qcow2", "expected.raw")
            ?? (configuration.HasSnapshot ? await CompareSnapshotAsync() : null);
    }

    private async Task<string?> CompareSnapshotAsync() =>
        await RunQemuAsync("convert", "-l", "snapshot.name=first", "-O", "raw", "disk.qcow2", "now.raw")
            ?? await RunQemuAsync("compare", "-f", "raw", "-F", "raw", "first.raw", "now.raw");

    private async Task<string?> RunQemuAsync(params string[] arguments)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync("qemu-img", directory, arguments);
        return status == 0 || (status == 3 && configuration.Fails > 0 && arguments[0] == "check") ? null : $"qemu-img {string.Join(' ', arguments)} ends with {status}: {output}{error}";
    }

    /// <summary>Crashes the run at some moments, in legal ways.</summary>
    private async Task<string?> CrashAsync(GuestModel model, WriteLogClock clock, CrashFile file, byte[]? backing)
    {
        var run = new CrashRun(configuration, seed, model, clock, file, null, backing);
        var inspector = new CrashInspector(run);
        var ticks = run.CrashTicks();
        var random = new Random(seed);
        for (var i = 0; i < Crashes; i++)
        {
            var tick = ticks[random.Next(ticks.Length)];
            if (await inspector.InspectAsync(i % 4 == 0 ? file.Prefix(tick) : file.Reordered(tick, random), null, tick, isClean: false) is { } wrong)
            {
                return $"crash {i} at tick {tick}: {wrong}";
            }
        }

        return null;
    }
}
