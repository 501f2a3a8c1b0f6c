using System.Diagnostics;
using System.Globalization;

namespace Byre.Crash.Stress;

/// <summary>
/// Many threads at one qcow2 image in a real file. What they did not serialise themselves the image must keep apart: no
/// request loses what another has written, on the same clusters or beside them. BYRE_STRESS_SECONDS runs each kind of image
/// that long, with ever new seeds.
/// </summary>
public class Qcow2StressTests
{
    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("BYRE_STRESS_SECONDS"), CultureInfo.InvariantCulture, out var s) ? s : 0;

    public static TheoryData<string> Names => [.. CrashConfiguration.Stressed.Select(c => c.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Parallel_requests_never_lose_what_others_wrote(string name)
    {
        var configuration = CrashConfiguration.Stressed.Single(c => c.Name == name);
        var watch = Stopwatch.StartNew();
        for (var seed = 1; seed == 1 || watch.Elapsed.TotalSeconds < Seconds; seed++)
        {
            var directory = Directory.CreateTempSubdirectory("byre-stress").FullName;
            try
            {
                var problem = await new StressRun(configuration, seed, directory, configuration.Operations).FindProblemAsync();
                Assert.True(problem is null, $"{name}, seed {seed}: {problem}");
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }
        }
    }
}
