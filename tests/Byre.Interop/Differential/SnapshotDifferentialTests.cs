using System.Diagnostics;
using System.Globalization;
using Byre.Nodes;

namespace Byre.Interop.Differential;

/// <summary>
/// Random writes, snapshots, resizes and VM state on random kinds of images, by Byre and by QEMU's tools in turn: all see the
/// same disk and the same snapshots, and find nothing to complain about. The variables are those of
/// <see cref="DifferentialTests"/>; one seed alone is looked at after every step.
/// </summary>
public class SnapshotDifferentialTests
{
    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("BYRE_DIFF_SECONDS"), CultureInfo.InvariantCulture, out var s) ? s : 0;

    private static readonly int? OnlySeed =
        int.TryParse(Environment.GetEnvironmentVariable("BYRE_DIFF_SEED"), CultureInfo.InvariantCulture, out var s) ? s : null;

    private static readonly string? NewTools =
        Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } path ? path : null;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Snapshots_of_one_are_those_of_the_other(int part)
    {
        var watch = Stopwatch.StartNew();
        for (var i = 0; OnlySeed is null ? i < 8 || watch.Elapsed.TotalSeconds < Seconds / 2 : i == 0 && OnlySeed % 2 == part; i++)
        {
            var seed = OnlySeed ?? (i * 2) + part;
            var tools = seed / 2 % 2 == 0 ? "" : NewTools ?? "";
            var directory = Directory.CreateTempSubdirectory("byre-differential").FullName;
            var steps = new List<string>();
            var options = "";
            try
            {
                var image = await SnapshotImage.CreateAsync(directory, tools, new Random(seed));
                options = image.Options;
                for (var round = 0; round < 25; round++)
                {
                    steps.Add("?");
                    steps[^1] = await image.StepAsync();
                    if (round % 5 == 4 || OnlySeed is not null)
                    {
                        var problem = await image.FindProblemAsync();
                        Assert.True(problem is null, problem);
                    }
                }
            }
            catch (Exception e) when (e is BlockException or InvalidOperationException or Xunit.Sdk.XunitException)
            {
                Assert.Fail($"seed {seed} ({options}{(tools.Length == 0 ? "" : ", QEMU 10")}): {string.Join("; ", steps)}: {(e is BlockException ? e.ToString() : e.Message)}");
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }
        }
    }
}
