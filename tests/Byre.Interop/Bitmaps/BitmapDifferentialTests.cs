using System.Globalization;
using Byre.Blockdev;
using Byre.Graph;
using Byre.Interop.Img;
using Byre.Nodes;
using Byre.TestTools;

namespace Byre.Interop.Bitmaps;

/// <summary>
/// Random changes of a disk and of its bitmaps, each by Byre or by one of QEMU's tools: in the end the bitmaps say what a plain
/// model says, to Byre and to QEMU. BYRE_DIFF_SEED runs that seed alone; without BYRE_QEMU10 only the tools on the PATH take part.
/// </summary>
public sealed class BitmapDifferentialTests : IDisposable
{
    private const int Sector = 512;
    private const int Steps = 14;

    private static readonly string? NewTools =
        Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } path ? path : null;

    private static readonly int? OnlySeed =
        int.TryParse(Environment.GetEnvironmentVariable("BYRE_DIFF_SEED"), CultureInfo.InvariantCulture, out var s) ? s : null;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-bitmaps-").FullName;
    private readonly Dictionary<string, Model> models = new(StringComparer.Ordinal);
    private long size = 4 << 20;
    private int made;

    private string Disk => Path.Combine(directory, "disk.q");

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task All_say_of_bitmaps_what_a_model_says(int seed)
    {
        seed = OnlySeed ?? seed;
        var random = new Random(seed);
        var options = new[] { "cluster_size=512", "cluster_size=4k", "cluster_size=64k", "cluster_size=64k,extended_l2=on" }[random.Next(4)];
        Assert.Equal(0, Tools.Qemu(directory, "create", "-q", "-f", "qcow2", "-o", options, Disk, $"{size}").Status);
        var done = $"seed {seed}, {options}:";
        for (var step = 0; step < Steps; step++)
        {
            var tool = random.Next(NewTools is null ? 2 : 3);
            done += $"\n{(tool == 0 ? "Byre" : tool == 1 ? "QEMU" : "QEMU 10")}: ";
            done += await StepAsync(random, tool);
            await AssertByreAgreesAsync(done);
        }

        foreach (var (name, model) in models)
        {
            await AssertQemuAgreesAsync(name, model, done);
        }

        var check = Tools.Qemu(directory, "check", Disk);
        Assert.True(check.Status == 0, $"{done}\n{check.Output}{check.Errors}");
    }

    private async Task<string> StepAsync(Random random, int tool)
    {
        var existing = models.Keys.Order(StringComparer.Ordinal).ToArray();
        var name = existing.Length == 0 ? "" : existing[random.Next(existing.Length)];
        var other = existing.Length == 0 ? "" : existing[random.Next(existing.Length)];
        switch (existing.Length == 0 ? 0 : random.Next(12))
        {
            case 0 or 1:
                name = $"b{made++}";
                var granularity = 512L << random.Next(10);
                models[name] = new Model(size, granularity) { IsEnabled = true };
                return await ImgAsync(tool, "bitmap", "--add", "-g", $"{granularity}", Disk, name);
            case 2:
                models.Remove(name);
                return await ImgAsync(tool, "bitmap", "--remove", Disk, name);
            case 3:
                Array.Clear(models[name].Bits);
                return await ImgAsync(tool, "bitmap", "--clear", Disk, name);
            case 4:
                models[name].IsEnabled = random.Next(2) == 0;
                return await ImgAsync(tool, "bitmap", models[name].IsEnabled ? "--enable" : "--disable", Disk, name);
            case 5 or 6:
                models[name].Merge(models[other]);
                return await ImgAsync(tool, "bitmap", "--merge", other, Disk, name);
            case 7:
                var before = size;
                size = random.Next(1, 100) * 65_536L;
                foreach (var model in models.Values)
                {
                    model.Resize(size);
                }

                return size < before
                    ? await ImgAsync(tool, "resize", "--shrink", Disk, $"{size}")
                    : await ImgAsync(tool, "resize", Disk, $"{size}");
            case 8:
                var told = await ImgAsync(tool, "convert", "--bitmaps", "-f", "qcow2", "-O", "qcow2", Disk, Disk + ".new");
                File.Move(Disk + ".new", Disk, overwrite: true);
                return told;
            default:
                return await WriteAsync(random, tool);
        }
    }

    private async Task<string> WriteAsync(Random random, int tool)
    {
        var commands = new List<(string Verb, long Offset, int Length)>();
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            var offset = random.NextInt64(size / Sector) * Sector;
            var length = (int)Math.Min(random.Next(1, 300) * Sector, size - offset);
            commands.Add((random.Next(3) switch { 0 => "write", 1 => "write -z", _ => "discard" }, offset, length));
            foreach (var model in models.Values.Where(m => m.IsEnabled))
            {
                model.Mark(offset, length);
            }
        }

        var words = commands.Select(c => $"{c.Verb} {c.Offset} {c.Length}").ToArray();
        if (tool != 0)
        {
            var program = tool == 1 ? "qemu-io" : Path.Combine(NewTools!, "qemu-io");
            await ExternalTool.RunAsync(program, directory, ["-d", "unmap", .. words.SelectMany(w => new[] { "-c", w }), Disk]);
            return string.Join(", ", words);
        }

        await using var image = await ImageOpener.OpenAsync(
            new OpenOptions { FileName = Disk, Format = "qcow2", DiscardUnmap = true }, DefaultPermissions.ForUser(write: true));
        foreach (var (verb, offset, length) in commands)
        {
            await (verb switch
            {
                "write" => image.Edge.WriteAsync(offset, Enumerable.Repeat((byte)5, length).ToArray()),
                "discard" => image.Edge.DiscardAsync(offset, length),
                _ => image.Edge.WriteZeroesAsync(offset, length),
            });
        }

        return string.Join(", ", words);
    }

    private async Task<string> ImgAsync(int tool, params string[] words)
    {
        var told = string.Join(' ', words.Select(w => w == Disk ? "disk.q" : w));
        var result = tool switch
        {
            0 => await Tools.ByreAsync(words),
            1 => Tools.Qemu(directory, words),
            _ => await NewAsync(words),
        };
        Assert.True(result.Status == 0, $"{told}: {result.Errors}{result.Output}");
        return told;
    }

    private async Task<ToolResult> NewAsync(string[] words)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync(Path.Combine(NewTools!, "qemu-img"), directory, words);
        return new ToolResult(status, output, error);
    }

    private async Task AssertByreAgreesAsync(string done)
    {
        await using var image = await ImageOpener.OpenAsync(
            new OpenOptions { FileName = Disk, Format = "qcow2", ReadOnly = true }, DefaultPermissions.ForUser(write: false));
        var bitmaps = await ((IPersistentBitmaps)image.Node).ListBitmapsAsync();
        Assert.True(models.Keys.Order(StringComparer.Ordinal).SequenceEqual(bitmaps.Select(b => b.Name).Order(StringComparer.Ordinal)), done);
        foreach (var bitmap in bitmaps)
        {
            var model = models[bitmap.Name];
            Assert.True((bitmap.Granularity, bitmap.IsEnabled, bitmap.IsInconsistent) == (model.Granularity, model.IsEnabled, false), $"{done}\n{bitmap.Name}");
            for (long at = 0; at < size; at += Sector)
            {
                Assert.True(bitmap.IsDirty(at) == model.IsDirty(at), $"{done}\n{bitmap.Name}: byte {at} is {(model.IsDirty(at) ? "not " : "")}dirty");
            }
        }
    }

    private async Task AssertQemuAgreesAsync(string name, Model model, string done)
    {
        var socket = Path.Combine(directory, name);
        await ExternalTool.RunAsync("qemu-nbd", directory, "-r", "-f", "qcow2", "-k", socket, "-B", name, "--fork", Disk);
        var map = await ExternalTool.RunAsync("nbdinfo", directory, $"--map=qemu:dirty-bitmap:{name}", $"nbd+unix:///?socket={socket}");
        var told = 0L;
        foreach (var line in map.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var numbers = line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Take(3).Select(n => long.Parse(n, CultureInfo.InvariantCulture)).ToArray();
            for (var at = numbers[0]; at < numbers[0] + numbers[1]; at += Sector)
            {
                Assert.True((numbers[2] != 0) == model.IsDirty(at), $"{done}\n{name}: byte {at}, QEMU says: {line}");
            }

            told += numbers[1];
        }

        Assert.True(told == size, $"{done}\n{name}: QEMU tells of {told} bytes of {size}");
    }

    private sealed class Model(long size, long granularity)
    {
        public bool[] Bits { get; private set; } = new bool[(size + granularity - 1) / granularity];

        public long Granularity => granularity;

        public bool IsEnabled { get; set; }

        public bool IsDirty(long at) => Bits[at / granularity];

        public void Mark(long offset, long length) =>
            Array.Fill(Bits, true, (int)(offset / granularity), (int)(((offset + length - 1) / granularity) - (offset / granularity) + 1));

        public void Merge(Model other)
        {
            for (var i = 0L; i < other.Bits.Length; i++)
            {
                if (other.Bits[i])
                {
                    var end = Math.Min((i + 1) * other.Granularity, Bits.Length * granularity);
                    Mark(i * other.Granularity, end - (i * other.Granularity));
                }
            }
        }

        public void Resize(long to)
        {
            var bits = Bits;
            Array.Resize(ref bits, (int)((to + granularity - 1) / granularity));
            Bits = bits;
        }
    }
}
