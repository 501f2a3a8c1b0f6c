using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>
/// A repair that is broken off, by a crash at any moment or by any request that fails, leaves an image that is no worse:
/// all data reads as before, no cluster in use is counted lower than it was and is used, and a second repair ends clean.
/// </summary>
public class RepairFaultTests
{
    private const int Reorderings = 15;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("512")]
    [InlineData("4K-backing")]
    [InlineData("4K-snapshot")]
    [InlineData("16K-extended-backing")]
    [InlineData("4K-datafile")]
    public async Task A_repair_that_is_broken_off_makes_nothing_worse(string name)
    {
        var configuration = CrashConfiguration.Faulted.Single(c => c.Name == name) with { Operations = 40 };
        var image = await CrashImage.MakeAsync(configuration, 1);
        var run = await new Workload(configuration, 2) { MayFail = true }.RunAsync(image); // which means that it is closed
        var dataFile = run.DataFile?.Prefix(long.MaxValue);
        foreach (var (damage, spoil) in DamagedImage.Damages)
        {
            var damaged = new DamagedImage(run.File.Prefix(long.MaxValue));
            spoil(damaged, new Random(7));
            foreach (var mode in new[] { RepairMode.Leaks, RepairMode.All })
            {
                var test = new BrokenRepair($"{damage}, {mode}", image, damaged.Bytes, dataFile, mode);
                await test.PrepareAsync();
                await test.CrashAsync();
                await test.FailAsync(n => new FaultRule { First = n });
                await test.FailAsync(n => new FaultRule { First = n, Kinds = FaultKinds.Changes, Action = FaultAction.CutShort, Bytes = 512 });
            }
        }
    }

    /// <summary>One damaged image, and one way of repairing it.</summary>
    private sealed class BrokenRepair(string name, CrashImage image, byte[] start, byte[]? dataFile, RepairMode mode)
    {
        private byte[]?[] content = [];
        private ulong[] before = [];
        private ulong[] references = [];

        public async Task PrepareAsync()
        {
            content = await DamagedImage.ReadAsync(start, image, dataFile);
            before = new DamagedImage(start).Counts();
            var (repaired, report) = await RepairAsync(start, RepairMode.All);
            Assert.True(Qcow2Images.Problem(report, leaksCount: true) is null, $"{name}, {report.Aborted}: a repair without faults leaves {report.Corruptions} corruptions");
            references = new DamagedImage(repaired).Counts();
        }

        public async Task CrashAsync()
        {
            var log = new WriteLogNode(new BlockEdge(new MemoryNode(start), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
            await Qcow2Images.CheckAsync(log, mode);
            var file = new CrashFile(start, log.Entries);
            var random = new Random(3);
            foreach (var tick in log.Entries.Select(e => e.Began).Append(long.MaxValue))
            {
                await InspectAsync(file.Prefix(tick), $"{name}, crashed at tick {tick}");
            }

            for (var i = 0; i < (log.Entries.Count == 0 ? 0 : Reorderings); i++)
            {
                var tick = log.Entries[random.Next(log.Entries.Count)].Ended;
                await InspectAsync(file.Reordered(tick, random), $"{name}, reordering {i} at tick {tick}");
            }
        }

        public async Task FailAsync(Func<int, FaultRule> rule)
        {
            var hit = true;
            for (var n = 1; hit; n++)
            {
                var node = new MemoryNode(start);
                await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
                var fault = new FaultNode(
                    new BlockEdge(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file"), new FaultOptions { Rules = [rule(n)] });
                var told = false;
                try
                {
                    var report = await Qcow2Images.CheckAsync(fault, mode);
                    told = report.CheckErrors > 0 || report.Aborted is not null;
                }
                catch (BlockException)
                {
                    told = true;
                }

                hit = fault.Hits > 0;
                Assert.True(told || !hit, $"{name}, {rule(n)}: nobody is told");
                var left = new byte[node.Length];
                await node.ReadAsync(0, left);
                await InspectAsync(left, $"{name}, {rule(n)}");
            }
        }

        private static async Task<(byte[] File, CheckReport Report)> RepairAsync(byte[] file, RepairMode mode)
        {
            var node = new MemoryNode(file);
            await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
            var report = await Qcow2Images.CheckAsync(node, mode);
            var left = new byte[node.Length];
            await node.ReadAsync(0, left);
            return (left, report);
        }

        private async Task InspectAsync(byte[] left, string what)
        {
            await CompareAsync(left, what);
            var counts = new DamagedImage(left).Counts();
            for (var i = 0; i < Math.Min(before.Length, references.Length); i++)
            {
                var now = i < counts.Length ? counts[i] : 0;
                Assert.True(now >= Math.Min(before[i], references[i]), $"{what}: cluster {i} was counted {before[i]} times, is used {references[i]} times, and now counts {now}");
            }

            var (repaired, report) = await RepairAsync(left, RepairMode.All);
            Assert.True(Qcow2Images.Problem(report, leaksCount: true) is null, $"{what}: after a second repair {Qcow2Images.Problem(report, leaksCount: true)}");
            await CompareAsync(repaired, what + ", repaired");
        }

        private async Task CompareAsync(byte[] file, string what)
        {
            var now = await DamagedImage.ReadAsync(file, image, dataFile);
            for (var i = 0; i < content.Length; i++)
            {
                Assert.True(content[i] is null || (now[i] is { } read && content[i].AsSpan().SequenceEqual(read)), $"{what}: cluster {i} of the disk has changed");
            }
        }
    }
}
