using System.Globalization;
using System.Text;
using Byre.TestTools;

namespace Byre.Interop.Nbd.Tools;

/// <summary>
/// Random images, chains and bitmaps are served by Byre and by qemu-nbd: libnbd's nbdinfo prints the same maps of both, whatever
/// context it asks for.
/// </summary>
public sealed class ContextDifferentialTests : IDisposable
{
    private const int Unit = 512;

    private readonly string folder = Directory.CreateTempSubdirectory("byre-contexts-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Random_chains_have_the_same_maps(int round)
    {
        var seed = Environment.TickCount + round;
        var random = new Random(seed);
        var layers = random.Next(1, 5);
        var bitmaps = new List<string>();
        var made = MakeScript(random, layers, bitmaps);
        await RunAsync(made);
        var top = $"-f {(layers == 1 && bitmaps.Count == 0 ? "raw l0" : $"qcow2 l{layers - 1}")}";
        var images = new List<string> { top };
        if (layers > 1)
        {
            images.Add($"--image-opts driver=qcow2,backing=,file.filename=l{layers - 1}");
        }

        foreach (var image in images)
        {
            await RunAsync($"qemu-img convert -O raw {image} flat");
            var content = await File.ReadAllBytesAsync(Path.Combine(folder, "flat"));
            var contexts = bitmaps.Select(b => "qemu:dirty-bitmap:" + b).Prepend("qemu:allocation-depth").Prepend("base:allocation").ToList();
            var script = string.Concat(contexts.Select(c => $"nbdinfo --map={c} -- [ $server -r -A{string.Concat(bitmaps.Select(b => $" -B {b}"))} {image} ]; echo\n"));
            var ours = (await RunAsync($"server={await NbdServers.OursAsync()}\n{script}")).Split("\n\n");
            var real = (await RunAsync($"server={NbdServers.Real}\n{script}")).Split("\n\n");
            for (var c = 0; c < contexts.Count; c++)
            {
                Compare($"seed {seed}: {contexts[c]} of {image}\n{made}\nByre:\n{ours[c]}\nqemu-nbd:\n{real[c]}", c == 0, Parse(ours[c]), Parse(real[c]), content);
            }
        }
    }

    /// <summary>
    /// The maps are the same, but that Byre looks into the file where a cluster is data, and calls it zero where that has a hole;
    /// QEMU looks only where it takes the image for a preallocated one.
    /// </summary>
    private static void Compare(string what, bool isAllocation, List<int> ours, List<int> real, byte[] content)
    {
        Assert.True(ours.Count == real.Count && ours.Count == content.Length / Unit, what);
        for (var i = 0; i < ours.Count; i++)
        {
            var isZero = !content.AsSpan(i * Unit, Unit).ContainsAnyExcept((byte)0);
            var isBetter = isAllocation && ours[i] == 2 && real[i] == 0 && isZero;
            var isTrue = !isAllocation || (ours[i] & 2) == 0 || isZero;
            Assert.True((ours[i] == real[i] || isBetter) && isTrue, $"at {i * Unit}: {ours[i]} and {real[i]}, {what}");
        }
    }

    /// <summary>The flags of each sector.</summary>
    private static List<int> Parse(string map)
    {
        var flags = new List<int>();
        foreach (var line in map.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(flags.Count * Unit, int.Parse(words[0], CultureInfo.InvariantCulture));
            flags.AddRange(Enumerable.Repeat(int.Parse(words[2], CultureInfo.InvariantCulture), int.Parse(words[1], CultureInfo.InvariantCulture) / Unit));
        }

        return flags;
    }

    private static string MakeScript(Random random, int layers, List<string> bitmaps)
    {
        var script = new StringBuilder("set -e\n");
        for (var i = 0; i < layers; i++)
        {
            // The lowest layer is raw or qcow2, the others qcow2; a backing layer may be shorter, or longer.
            var kilobytes = i == layers - 1 ? 4096 : random.Next(1, 10) * 512;
            var raw = i == 0;
            script.Append(CultureInfo.InvariantCulture, $"{(raw ? $"truncate -s {kilobytes}k l0" : $"qemu-img create -q -f qcow2 -o {Options(random)} -b l{i - 1} -F {(i == 1 ? "raw" : "qcow2")} l{i} {kilobytes}k")}\n");
            if (i == layers - 1 && !raw)
            {
                for (var n = random.Next(3); n > 0; n--)
                {
                    bitmaps.Add("b" + n);
                    script.Append(CultureInfo.InvariantCulture, $"qemu-img bitmap --add -g {4 << random.Next(5)}k l{i} b{n}\n");
                }
            }

            var writes = Enumerable.Range(0, random.Next(1, 8)).Select(_ =>
            {
                var at = random.Next(kilobytes - 1);
                var length = random.Next(1, Math.Min(kilobytes - at, 600) + 1);
                var what = random.Next(5) switch { 0 => "write -q -z -u", 1 => "write -q -z", 2 => "discard -q", _ => $"write -q -P {random.Next(1, 255)}" };
                return $"-c '{what} {at}k {length}k'";
            });
            script.Append(CultureInfo.InvariantCulture, $"qemu-io -f {(raw ? "raw" : "qcow2")} {string.Join(' ', writes)} l{i}\n");
        }

        return script.ToString();
    }

    private static string Options(Random random) => random.Next(5) switch
    {
        0 => "cluster_size=4k",
        1 => "cluster_size=128k,extended_l2=on",
        2 => "cluster_size=512",
        _ => "cluster_size=64k",
    };

    private Task<string> RunAsync(string script) => ExternalTool.RunAsync("bash", folder, "-c", script);
}
