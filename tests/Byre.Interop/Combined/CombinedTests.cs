using System.Diagnostics;
using System.Globalization;
using Byre.Nodes;

namespace Byre.Interop.Combined;

/// <summary>
/// Everything that changes an image, in random order and each step by a tool drawn at random, on the same files: writes,
/// snapshots, bitmaps, resizes, commits, rebases, amendments, copies and repairs. After each step Byre and one of QEMU's tools
/// read what a plain model says, of the disk and of its snapshots, and both checks are clean. BYRE_DIFF_SECONDS runs it that
/// long, with ever new seeds; BYRE_DIFF_SEED runs that seed alone; without BYRE_QEMU10 only the tools on the PATH take part.
/// </summary>
public class CombinedTests
{
    private const int Steps = 14;

    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("BYRE_DIFF_SECONDS"), CultureInfo.InvariantCulture, out var s) ? s : 0;

    private static readonly int? OnlySeed =
        int.TryParse(Environment.GetEnvironmentVariable("BYRE_DIFF_SEED"), CultureInfo.InvariantCulture, out var s) ? s : null;

    private static readonly int FirstSeed =
        int.TryParse(Environment.GetEnvironmentVariable("BYRE_SEED"), CultureInfo.InvariantCulture, out var s) ? s : 1;

    [Fact]
    public async Task Whatever_follows_whatever_nothing_is_lost()
    {
        var watch = Stopwatch.StartNew();
        var (done, refused) = (0, 0);
        List<string> wrong = [];
        for (var i = 0; OnlySeed is null ? i < 4 || watch.Elapsed.TotalSeconds < Math.Max(15, Seconds) : i == 0; i++)
        {
            var seed = OnlySeed ?? FirstSeed + i;
            var directory = Directory.CreateTempSubdirectory("byre-combined-").FullName;
            var random = new Random(seed);
            var image = new CombinedImage(directory, random);
            try
            {
                await image.CreateAsync();
                for (var step = 0; step < Steps && !image.IsSpoilt; step++)
                {
                    await image.StepAsync();
                    await image.AssertAsItShouldBeAsync();
                }
            }
            catch (Exception e) when (e is BlockException or InvalidOperationException or Xunit.Sdk.XunitException)
            {
                wrong.Add($"seed {seed}: {image.Told}\n{(e is Xunit.Sdk.XunitException ? e.Message : e.ToString())}");
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }

            done += image.Done;
            refused += image.Refused;
        }

        Assert.True(wrong.Count == 0, string.Join("\n\n", wrong));
        Assert.True(OnlySeed is not null || refused * 4 < done, $"{refused} steps are refused, and {done} done");
    }
}
