using System.Globalization;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash.Faults;

/// <summary>
/// Every request to an image's files fails once, in turn: as a whole, after a part of it, or with all that follow. Who made
/// the request is told, or it is as if nothing had happened; no other data is lost, not by a crash afterwards either, and a check finds
/// leaks at most.
/// BYRE_FAULT_SEEDS runs more workloads than one.
/// </summary>
public class Qcow2FaultTests
{
    private const int Crashes = 1;

    private static readonly int Seeds =
        int.TryParse(Environment.GetEnvironmentVariable("BYRE_FAULT_SEEDS"), CultureInfo.InvariantCulture, out var s) ? s : 1;

    public static TheoryData<string> Names => [.. CrashConfiguration.Faulted.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_request_that_fails_costs_no_more_than_itself(string name)
    {
        var configuration = CrashConfiguration.Faulted.Single(c => c.Name == name);
        for (var seed = 1; seed <= Seeds; seed++)
        {
            var image = await CrashImage.MakeAsync(configuration, seed);
            foreach (var inDataFile in configuration.HasDataFile ? new[] { false, true } : [false])
            {
                await FailEachAsync(configuration, image, seed, inDataFile, n => new FaultRule { First = n });
                await FailEachAsync(configuration, image, seed, inDataFile, n => new FaultRule { First = n, Count = long.MaxValue / 2, Errno = 28 });
                await FailEachAsync(
                    configuration, image, seed, inDataFile, n => new FaultRule { First = n, Action = FaultAction.CutShort, Bytes = 512 * (1 + (n % 3)) });
            }
        }
    }

    private static async Task FailEachAsync(
        CrashConfiguration configuration, CrashImage image, int seed, bool inDataFile, Func<int, FaultRule> rule)
    {
        FaultNode? fault = null;
        var hit = true;
        for (var n = 1; hit; n++)
        {
            var what = $"{configuration.Name}, seed {seed}, {(inDataFile ? "data file" : "file")}, {rule(n)}";
            BlockNode Break(BlockNode below) => fault = FaultAbove(below, rule(n));
            var workload = new Workload(configuration, seed)
            {
                MayFail = true,
                AboveLog = inDataFile ? node => node : Break,
                AboveDataLog = inDataFile ? Break : node => node,
            };
            var run = await workload.RunAsync(image);
            hit = fault!.Hits > 0;
            var end = run.Clock.Now + 1;
            var problem = await new CrashInspector(run).InspectAsync(run.File.Prefix(end), run.DataFile?.Prefix(end), end, isClean: !hit);
            var random = new Random(n);
            for (var i = 0; i < Crashes && problem is null; i++)
            {
                var tick = random.NextInt64(1, end);
                problem = await new CrashInspector(run).InspectAsync(
                    run.File.Reordered(tick, random), run.DataFile?.Reordered(tick, random), tick, isClean: false) is { } wrong
                    ? $"crashed at tick {tick}: {wrong}" : null;
            }

            Assert.True(problem is null, $"{what}: {problem}");
        }
    }

    private static FaultNode FaultAbove(BlockNode below, FaultRule rule) => new(
        new BlockEdge(below, ChildRole.Filtered | ChildRole.Primary, new(Permissions.All, Permissions.All), "file"), new FaultOptions { Rules = [rule] });
}
