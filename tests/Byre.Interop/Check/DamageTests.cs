using Byre.Nodes;

namespace Byre.Interop.Check;

/// <summary>Damaged images: what Byre counts is what qemu-img counts.</summary>
public sealed class DamageTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-check").FullName;

    public static TheoryData<string> Names => [.. BaseImages.Names];

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_sound_image_has_the_counts_of_qemu(string name)
    {
        var path = BaseImages.Make(directory, name);
        var (ours, text) = await Outcome.OfByreAsync(path);
        Assert.True(ours.Status == 0, text);
        foreach (var program in QemuImg.Programs)
        {
            Assert.Equal(Outcome.OfQemu(program, path).Outcome, ours);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_damaged_word_of_metadata_has_the_counts_of_qemu(string name)
    {
        var path = BaseImages.Make(directory, name);
        var sound = File.ReadAllBytes(path);
        var random = new Random(int.Parse(Environment.GetEnvironmentVariable("BYRE_SEED") ?? "1"));
        List<string> wrong = [];
        var rounds = int.Parse(Environment.GetEnvironmentVariable("BYRE_ROUNDS") ?? "12");
        for (var round = 0; round < rounds; round++)
        {
            var image = new TestImage([.. sound]);
            var what = Damages.Apply(image, random);
            File.WriteAllBytes(path, image.Bytes);
            var (ours, ourText) = await Outcome.OfByreAsync(path);
            var program = QemuImg.Programs[round % QemuImg.Programs.Count];
            var (theirs, theirText) = Outcome.OfQemu(program, path);
            if (ours != theirs && (theirs.Status != 1 || ours.Status == 0)) // where QEMU gives up Byre may go on
            {
                wrong.Add($"{name} round {round} {what}\n ours {ours}\n them {theirs}\n--- ours:\n{Cut(ourText)}\n--- theirs:\n{Cut(theirText)}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} of {rounds}\n" + string.Join("\n\n", wrong));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task What_Byre_repairs_is_sound_for_qemu_and_the_other_way_round(string name)
    {
        var path = BaseImages.Make(directory, name);
        var sound = File.ReadAllBytes(path);
        var random = new Random(int.Parse(Environment.GetEnvironmentVariable("BYRE_SEED") ?? "2"));
        List<string> wrong = [];
        var rounds = int.Parse(Environment.GetEnvironmentVariable("BYRE_ROUNDS") ?? "8");
        for (var round = 0; round < rounds; round++)
        {
            var image = new TestImage([.. sound]);
            var what = Damages.Apply(image, random);
            var program = QemuImg.Programs[round % QemuImg.Programs.Count];
            File.WriteAllBytes(path, image.Bytes);
            var mode = round % 3 == 2 ? RepairMode.Leaks : RepairMode.All;
            var before = await Outcome.OfByreAsync(path);
            var (ours, ourText) = await Outcome.OfByreAsync(path, mode);
            var after = Outcome.OfQemu(program, path);
            File.WriteAllBytes(path, image.Bytes);
            var (theirs, theirText) = Outcome.OfQemu(program, path, "-r", mode == RepairMode.All ? "all" : "leaks");
            var theirsForUs = await Outcome.OfByreAsync(path);
            if (ours.Status != 1 && ours != after.Outcome)
            {
                wrong.Add($"{name} {round} {mode} {what}\n left by us {ours}\n as seen by qemu {after}\n{ourText}");
            }

            // QEMU puts flags right in a table that guest data overlaps, and so changes the data.
            var overlaps = ourText.Contains("guest data overlaps", StringComparison.Ordinal);
            if ((ours.Status != 0 && theirs.Status == 0 && !overlaps) || (mode == RepairMode.All && ours.Corruptions > before.Outcome.Corruptions))
            {
                wrong.Add($"{name} {round} {mode} {what}\n ours after {ours}\n theirs {theirs}\n{Cut(ourText)}\n{Cut(theirText)}");
            }

            if (theirs.Status == 0 && theirsForUs.Outcome.Status != 0 && Outcome.OfQemu(program, path).Outcome.Status == 0)
            {
                wrong.Add($"{name} {round} {mode} {what}\n theirs {theirs}\n as seen by us {theirsForUs}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count}\n" + string.Join("\n\n", wrong));
    }

    private static string Cut(string text) => text.Length < 700 ? text : text[..700] + "...";
}
