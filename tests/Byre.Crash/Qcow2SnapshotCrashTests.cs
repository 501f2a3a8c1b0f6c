using System.Buffers.Binary;
using Byre.Crash.Faults;
using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// A crash at any moment of work with snapshots: the image shows each snapshot that was there and stays whole, the one that
/// comes or goes whole or not at all, and the disk as it was before or after. Version 3 is repaired when it is opened next, by
/// its dirty bit, and then nothing is wrong with it, not even a leak. Version 2, which has no such bit, may have leaks, and
/// COPIED flags that are clear although a count is 1.
/// </summary>
public class Qcow2SnapshotCrashTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("cluster_size=512,refcount_bits=64", 300)]
    [InlineData("cluster_size=4k", 700)]
    [InlineData("cluster_size=4k,compat=0.10", 700)]
    [InlineData("cluster_size=16k,extended_l2=on", 1_000)]
    [InlineData("cluster_size=4k,lazy_refcounts=on", 700)]
    [InlineData("cluster_size=4k,refcount_bits=8", 700)]
    public async Task No_crash_of_a_snapshots_making_applying_or_deleting_loses_anything(string options, int sectors)
    {
        var start = await MakeAsync(options, sectors);
        var log = new WriteLogNode(new BlockEdge(new MemoryNode((byte[])start.Clone()), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
        var edge = await Qcow2Images.OpenAsync(log, null, null, new Qcow2OpenOptions());
        var store = (ISnapshotStore)edge.Node;
        var history = new SnapshotHistory { Disk = SectorContent.Make(1, 0, sectors) };
        history.Keep("first");
        history.Disk = SectorContent.Make(2, 0, sectors);

        await StepAsync("create", async () => await store.CreateSnapshotAsync(new SnapshotRequest { Name = "second" }), h => h.Keep("second"));
        await WriteAsync(3);
        await StepAsync("state", async () => await ((IVmStateStore)edge.Node).WriteVmStateAsync(0, new byte[9000]), _ => { });
        await StepAsync(
            "create with state", async () => await store.CreateSnapshotAsync(new SnapshotRequest { Name = "third", VmStateSize = 9000 }), h => h.Keep("third"));
        await StepAsync("apply", async () => await store.ApplySnapshotAsync(SnapshotSelector.Of("first")), h => h.Apply("first"));
        await WriteAsync(4);
        await StepAsync("delete", async () => await store.DeleteSnapshotAsync(SnapshotSelector.Of("second")), h => h.Snapshots.Remove("second"));
        if (!options.Contains("compat=0.10", StringComparison.Ordinal))
        {
            await StepAsync("grow", async () => await edge.ResizeAsync((sectors + 400) * 512L), h => h.Disk = [.. h.Disk, .. new byte[400 * 512]]);
            await StepAsync("apply shorter", async () => await store.ApplySnapshotAsync(SnapshotSelector.Of("third")), h => h.Apply("third"));
        }

        await StepAsync("delete first", async () => await store.DeleteSnapshotAsync(SnapshotSelector.Of("first")), h => h.Snapshots.Remove("first"));
        await StepAsync("delete last", async () => await store.DeleteSnapshotAsync(SnapshotSelector.Of("third")), h => h.Snapshots.Remove("third"));
        await edge.DisposeAsync();

        async Task WriteAsync(int value)
        {
            var from = sectors / 4;
            await StepAsync(
                $"write {value}",
                async () =>
                {
                    await edge.WriteAsync(from * 512L, SectorContent.Make(value, from, sectors / 3));
                    await edge.FlushAsync();
                },
                h => SectorContent.Make(value, from, sectors / 3).CopyTo(h.Disk, from * 512));
        }

        async Task StepAsync(string what, Func<Task> act, Action<SnapshotHistory> change)
        {
            var before = history.Clone();
            var began = log.Clock.Now;
            await act();
            change(history);
            if (what.StartsWith("write", StringComparison.Ordinal) || what == "state")
            {
                return; // what they write is the business of other tests
            }

            await CrashAsync(new CrashFile(start, log.Entries), began, log.Clock.Now, before, history, $"{options}, {what}");
        }
    }

    private static async Task CrashAsync(
        CrashFile file, long began, long ended, SnapshotHistory before, SnapshotHistory after, string what)
    {
        var changes = file.Entries.Where(e => e.Began >= began && e.Began <= ended && (e.IsChange || e.Kind == WriteLogKind.Flush)).ToList();
        Assert.NotEmpty(changes);
        var random = new Random(1);
        var ticks = changes.SelectMany(e => new[] { e.Began, e.Ended }).Append(ended + 1).ToArray();
        var step = Math.Max(1, ticks.Length / 40);
        for (var i = 0; i < ticks.Length; i += step)
        {
            await InspectAsync(file.Prefix(ticks[i]), before, after, ticks[i] > ended, $"{what}, prefix up to tick {ticks[i]}");
        }

        for (var i = 0; i < 40; i++)
        {
            var tick = ticks[random.Next(ticks.Length)];
            await InspectAsync(file.Reordered(tick, random), before, after, tick > ended, $"{what}, reordering {i} at tick {tick}");
        }

        await InspectWithQemuAsync(file.Reordered(ticks[random.Next(ticks.Length)], random), what);
    }

    /// <summary>Opens what is left, as a user would, and looks at all of it.</summary>
    internal static async Task InspectAsync(byte[] image, SnapshotHistory before, SnapshotHistory after, bool isDone, string what)
    {
        var node = new MemoryNode(image);
        using var keep = new KeptNode(node);
        var header = Qcow2Header.Parse(image, "disk");
        var isRepaired = (header.Incompatible & IncompatibleFeatures.Dirty) != 0;
        if (isRepaired)
        {
            await Qcow2Images.CheckAsync(node, RepairMode.All); // what opening it for writing does
        }

        var report = await Qcow2Images.CheckAsync(node);
        var problem = Qcow2Images.Problem(report, leaksCount: isRepaired);
        var isHarmless = header.Version < 3 && report is { CheckErrors: 0, Aborted: null, DroppedFindings: 0 } && report.Findings.All(IsHarmless) && !new DamagedImage(image).HasUnsafeFlag();
        Assert.True(problem is null || isHarmless, $"{what}: {problem}");

        await using var edge = await Qcow2Images.OpenAsync(node, null, null, new Qcow2OpenOptions { ReadOnly = true });
        var names = (await ((ISnapshotStore)edge.Node).ListSnapshotsAsync()).Select(s => s.Name).ToList();
        var isAfter = names.ToHashSet().SetEquals(after.Snapshots.Keys);
        var isBefore = names.ToHashSet().SetEquals(before.Snapshots.Keys);
        Assert.True(isDone ? isAfter : isAfter || isBefore, $"{what}: the snapshots are {string.Join(", ", names)}");
        var disk = await Qcow2Images.ReadAllAsync(edge);
        var isNew = disk.AsSpan().SequenceEqual(after.Disk);
        Assert.True(isNew || (!isDone && disk.AsSpan().SequenceEqual(before.Disk)), $"{what}: the disk is neither as before nor as after");
        foreach (var name in names)
        {
            await using var shown = await Qcow2Images.OpenAsync(node, null, null, new Qcow2OpenOptions { ReadOnly = true, Snapshot = SnapshotSelector.Of(name) });
            var expected = after.Snapshots.TryGetValue(name, out var content) ? content : before.Snapshots[name];
            Assert.True((await Qcow2Images.ReadAllAsync(shown)).AsSpan().SequenceEqual(expected), $"{what}: the snapshot '{name}' has changed");
        }
    }

    /// <summary>QEMU mends it, too, and finds nothing then.</summary>
    private static async Task InspectWithQemuAsync(byte[] image, string what)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            await File.WriteAllBytesAsync(Path.Combine(directory, "disk.qcow2"), image);
            await ExternalTool.TryRunAsync("qemu-img", directory, ["check", "-q", "-r", "all", "disk.qcow2"]);
            var (status, output, error) = await ExternalTool.TryRunAsync("qemu-img", directory, ["check", "disk.qcow2"]);
            Assert.True(status == 0, $"{what}: qemu-img check ends with {status}: {output}{error}");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>A leak, or a COPIED flag that contradicts a count.</summary>
    private static bool IsHarmless(CheckFinding finding) =>
        finding.Severity == CheckSeverity.Leak || finding.Kind == CheckFindingKind.CopiedFlag;

    /// <summary>COPIED flags in tables that only a snapshot has mean nothing, and QEMU leaves some there.</summary>
    private static void FlagSnapshot(byte[] image)
    {
        var header = Qcow2Header.Parse(image, "disk");
        var l1 = (int)Word((int)header.SnapshotsOffset);
        for (var at = l1; at < l1 + ((int)header.L1Entries * 8) && Word(at) != 0; at += 8)
        {
            var table = (int)(Word(at) & L1Entry.OffsetMask);
            for (var entry = table; entry < table + header.ClusterSize && Word(entry) != 0; entry += header.L2EntrySize)
            {
                image[entry] |= 0x80;
            }
        }

        ulong Word(int at) => BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan(at));
    }

    /// <summary>A disk of all ones, kept as "first", and then of all twos.</summary>
    internal static async Task<byte[]> MakeAsync(string options, int sectors)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", $"{sectors * 512}");
            var node = new MemoryNode(await File.ReadAllBytesAsync(Path.Combine(directory, "disk.qcow2")));
            using var keep = new KeptNode(node);
            await using (var edge = await Qcow2Images.OpenAsync(node, null, null, new Qcow2OpenOptions()))
            {
                await edge.WriteAsync(0, SectorContent.Make(1, 0, sectors));
                await ((ISnapshotStore)edge.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "first" });
                await edge.WriteAsync(0, SectorContent.Make(2, 0, sectors));
            }

            var bytes = new byte[node.Length];
            await node.ReadAsync(0, bytes);
            FlagSnapshot(bytes);
            return bytes;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
