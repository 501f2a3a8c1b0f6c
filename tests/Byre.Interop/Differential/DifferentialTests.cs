using System.Diagnostics;
using System.Globalization;
using Byre.Nodes;

namespace Byre.Interop.Differential;

/// <summary>
/// Random requests over random kinds of images, by Byre and by QEMU's tools in turn: what one writes the other reads, and
/// both find nothing to complain about. BYRE_DIFF_SECONDS runs it that long, with ever new seeds; BYRE_DIFF_SEED runs that
/// seed alone. Where BYRE_QEMU10 names QEMU 10's tools, every other seed is theirs.
/// </summary>
public class DifferentialTests
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
    [InlineData(2)]
    [InlineData(3)]
    public async Task What_one_writes_the_other_reads(int part)
    {
        var watch = Stopwatch.StartNew();
        var spoilt = 0;
        for (var i = 0; OnlySeed is null ? i < 12 || watch.Elapsed.TotalSeconds < Seconds / 4 : i == 0 && OnlySeed % 4 == part; i++)
        {
            var seed = OnlySeed ?? (i * 4) + part;
            var tools = seed / 4 % 2 == 0 ? "" : NewTools ?? "";
            var directory = Directory.CreateTempSubdirectory("byre-differential").FullName;
            var step = "create";
            var options = "";
            try
            {
                var random = new Random(seed);
                var image = await DifferentialImage.CreateAsync(directory, tools, random);
                options = image.Options + (image.BackingFormat is null ? "" : ",backing");
                for (var round = 0; round < 4; round++)
                {
                    var isByres = (round + seed) % 2 == 0;
                    step = isByres ? "Byre writes" : "QEMU writes";
                    await (isByres ? image.WriteWithByreAsync(random.Next(1, 25)) : image.WriteWithQemuAsync(random.Next(1, 25)));
                    if (!isByres && await image.IsSpoiltByQemuAsync())
                    {
                        spoilt++;
                        break;
                    }

                    if (random.Next(4) == 0)
                    {
                        step = "resize";
                        await image.ResizeAsync();
                    }

                    var problem = await image.FindProblemAsync();
                    Assert.True(problem is null, $"after '{step}', round {round}: {problem}");
                }

                Assert.True(spoilt <= 2 + (i / 50), "QEMU spoils more images than it is known to");
            }
            catch (Exception e) when (e is BlockException or InvalidOperationException or Xunit.Sdk.XunitException)
            {
                Assert.Fail($"seed {seed} ({options}{(tools.Length == 0 ? "" : ", QEMU 10")}), {step}: {(e is BlockException ? e.ToString() : e.Message)}");
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }
        }
    }
}
