using System.Diagnostics;
using System.Globalization;

namespace Byre.Crash;

/// <summary>
/// The crash promise: at any instant, for any legal order of unflushed writes, reopening shows every flushed write, and a
/// check finds leaks at most. BYRE_CRASH_SECONDS runs each kind of image that long, with ever new seeds.
/// </summary>
public class Qcow2CrashTests
{
    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("BYRE_CRASH_SECONDS"), CultureInfo.InvariantCulture, out var s) ? s : 0;

    public static TheoryData<string> Names => [.. CrashConfiguration.All.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task No_crash_loses_flushed_data_or_corrupts(string name)
    {
        var configuration = CrashConfiguration.All.Single(c => c.Name == name);
        var watch = Stopwatch.StartNew();
        for (var seed = 1; seed <= 2 || watch.Elapsed.TotalSeconds < Seconds; seed++)
        {
            var run = await new Workload(configuration, seed).RunAsync();
            var problem = await FindProblemAsync(run, Seconds > 0 ? 4 : 1);
            Assert.True(problem is null, $"{name}, seed {seed}: {problem}");
        }
    }

    [Fact]
    public async Task Flushes_that_are_dropped_are_found_out()
    {
        var configuration = CrashConfiguration.All.Single(c => c.Name == "4K-backing");
        var run = await new Workload(configuration, 2) { AboveLog = node => new FlushDroppingNode(node) }.RunAsync();
        Assert.NotNull(await FindProblemAsync(run, 1));
    }

    /// <summary>Crashes a run at many times and in many ways.</summary>
    /// <returns>The first problem, or null.</returns>
    private static async Task<string?> FindProblemAsync(CrashRun run, int effort)
    {
        var inspector = new CrashInspector(run);
        var random = new Random(run.Seed);
        var ticks = run.CrashTicks();
        var isClosed = run.WasClosed;
        if (await inspector.InspectAsync(run.File.Prefix(ticks[^1]), run.DataFile?.Prefix(ticks[^1]), ticks[^1], isClosed) is { } atEnd)
        {
            return $"at the end: {atEnd}";
        }

        var step = Math.Max(1, ticks.Length / (40 * effort));
        for (var i = random.Next(step); i < ticks.Length; i += step)
        {
            if (await inspector.InspectAsync(run.File.Prefix(ticks[i]), run.DataFile?.Prefix(ticks[i]), ticks[i], isClean: false) is { } problem)
            {
                return $"prefix up to tick {ticks[i]}: {problem}";
            }
        }

        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            for (var i = 0; i < 40 * effort; i++)
            {
                var tick = ticks[random.Next(ticks.Length)];
                var (file, data) = (run.File.Reordered(tick, random), run.DataFile?.Reordered(tick, random));
                var problem = await inspector.InspectAsync(file, data, tick, isClean: false)
                    ?? (i % 10 == 0 ? await inspector.ContinueAsync(file, data, tick, random) : null)
                    ?? (i % 40 == 0 ? await inspector.InspectWithQemuAsync(file, data, tick, directory) : null);
                if (problem is not null)
                {
                    return $"reordering {i} at tick {tick}: {problem}";
                }
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        return null;
    }
}
