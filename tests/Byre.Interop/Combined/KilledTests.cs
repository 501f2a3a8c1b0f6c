using System.Diagnostics;
using System.Globalization;
using Byre.Interop.Img;
using Byre.TestTools;

namespace Byre.Interop.Combined;

/// <summary>
/// The program is killed at some moment of a change to an image: the image reads as before or as afterwards, so do its
/// snapshots and its backing image, and check finds leaks at most, or what the dirty bit announces. BYRE_ROUNDS is how often
/// each change is killed, BYRE_SEED decides the moments.
/// </summary>
public sealed class KilledTests : IDisposable
{
    private const int Length = 4 << 20;

    private static readonly int Rounds = Number("BYRE_ROUNDS", 1);

    private readonly string directory = Directory.CreateTempSubdirectory("byre-killed-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("cluster_size=512", "snapshot", "-c", "new", "DISK")]
    [InlineData("cluster_size=512,refcount_bits=64", "snapshot", "-d", "s1", "DISK")]
    [InlineData("cluster_size=512,refcount_bits=64", "snapshot", "-a", "s0", "DISK")]
    [InlineData("cluster_size=512", "bitmap", "--add", "-g", "512", "DISK", "b2")]
    [InlineData("cluster_size=512", "bitmap", "--merge", "b0", "--disable", "DISK", "b1")]
    [InlineData("cluster_size=512", "bitmap", "--remove", "DISK", "b0")]
    [InlineData("cluster_size=512", "amend", "-o", "refcount_bits=64", "DISK")]
    [InlineData("cluster_size=512,plain", "amend", "-o", "compat=0.10", "DISK")]
    [InlineData("cluster_size=1k,plain", "commit", "DISK")]
    [InlineData("cluster_size=4k,plain,lazy_refcounts=on", "commit", "-d", "DISK")]
    [InlineData("cluster_size=1k,plain", "rebase", "-b", "OTHER", "-F", "qcow2", "DISK")]
    [InlineData("cluster_size=16k,extended_l2=on,plain", "rebase", "-b", "", "DISK")]
    [InlineData("cluster_size=512,plain", "resize", "--shrink", "DISK", "1M")]
    [InlineData("cluster_size=512", "resize", "DISK", "9M")]
    public async Task Killed_it_leaves_an_image_as_it_was_or_as_it_becomes(string options, params string[] words)
    {
        var seed = Number("BYRE_SEED", 1);
        await MakeAsync(options);
        var program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");
        var before = await ContentAsync("before");
        Keep("kept");
        var watch = Stopwatch.StartNew();
        await ExternalTool.RunAsync(program, directory, [.. Words(words)]);
        var whole = watch.ElapsedMilliseconds;
        var after = await ContentAsync("after");
        var random = new Random(seed);
        var killed = 0;
        for (var round = 0; round < Rounds; round++)
        {
            PutBack("kept");
            var delay = random.NextInt64(whole / 4, whole + 1);
            var told = $"seed {seed}, round {round}, killed after {delay} of {whole} ms:";
            watch.Restart();
            if (await KillAsync(program, Words(words), (int)delay))
            {
                killed++;
            }
            else
            {
                whole = Math.Min(whole, watch.ElapsedMilliseconds); // the first run was slower
            }

            await AssertIsWholeAsync(before, after, words[0] == "resize", told);
        }

        Assert.True(killed > 0 || Rounds < 10, "no run was killed before its end");
    }

    private async Task AssertIsWholeAsync(Content before, Content after, bool mayBeCut, string told)
    {
        // What was dirty is repaired by the first that opens it; nothing may be left of that, and nothing else may be wrong.
        var info = await Tools.ByreAsync("check", "--output=json", At("disk.q"));
        var isDirty = ((File.ReadAllBytes(At("disk.q"))[79] & 1) != 0) && (File.ReadAllBytes(At("disk.q"))[7] == 3);
        if (isDirty)
        {
            info = await Tools.ByreAsync("check", "-r", "all", At("disk.q"));
            Assert.True(info.Status == 0, $"{told} it is dirty, and a repair ends with {info.Status}: {info.Output}{info.Errors}");
        }

        Assert.True(info.Status is 0 or 3, $"{told} check ends with {info.Status}: {info.Output}{info.Errors}");
        var (status, output, errors) = await ExternalTool.TryRunAsync("qemu-img", directory, ["check", At("disk.q")]);
        Assert.True(status is 0 or 3, $"{told} QEMU's check ends with {status}: {output}{errors}");
        (status, output, errors) = await ExternalTool.TryRunAsync("qemu-img", directory, ["check", At("b.q")]);
        Assert.True(status is 0 or 3, $"{told} QEMU's check of the backing image ends with {status}: {output}{errors}");
        var now = await ContentAsync("now");
        foreach (var (name, disk) in now.Disks)
        {
            var isOld = before.Disks.TryGetValue(name, out var old) && Same(disk, old, mayBeCut);
            var isNew = after.Disks.TryGetValue(name, out var made) && Same(disk, made, mayBeCut);
            Assert.True(isOld || isNew, $"{told} '{name}' reads neither as before nor as afterwards");
        }

        foreach (var name in before.Disks.Keys.Intersect(after.Disks.Keys))
        {
            Assert.True(now.Disks.ContainsKey(name), $"{told} '{name}' is gone");
        }
    }

    /// <summary>A disk that is cut may be cut in part: what is left of its end reads as zeroes or as before.</summary>
    private static bool Same(byte[] now, byte[] other, bool mayBeCut)
    {
        if (now.Length != other.Length || !mayBeCut)
        {
            return now.AsSpan().SequenceEqual(other);
        }

        for (var i = 0; i < now.Length; i++)
        {
            if (now[i] != other[i] && (i < 1 << 20 || now[i] != 0))
            {
                return false;
            }
        }

        return true;
    }

    private async Task MakeAsync(string options)
    {
        var isPlain = options.Contains(",plain", StringComparison.Ordinal);
        options = options.Replace(",plain", "", StringComparison.Ordinal);
        var bytes = new byte[Length];
        foreach (var (name, seed) in new[] { ("b.q", 1), ("other.q", 2) })
        {
            new Random(seed).NextBytes(bytes.AsSpan(0, Length / 2));
            await File.WriteAllBytesAsync(At("raw"), bytes);
            await ExternalTool.RunAsync("qemu-img", directory, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=1k", At("raw"), At(name));
        }

        await ExternalTool.RunAsync(
            "qemu-img", directory, ["create", "-q", "-f", "qcow2", "-o", options, .. isPlain ? new[] { "-b", "b.q", "-F", "qcow2" } : [], At("disk.q"), $"{Length}"]);
        string[] writes = [.. Enumerable.Range(0, 100).SelectMany(i => new[] { "-c", $"write -P {i + 1} {i * 40}k {(i % 38) + 1}k" }), "-c", "write -z 3M 100k", At("disk.q")];
        if (isPlain)
        {
            await ExternalTool.RunAsync("qemu-io", directory, writes);
            return;
        }

        for (var i = 0; i < 2; i++)
        {
            await ExternalTool.RunAsync("qemu-io", directory, writes);
            await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-c", $"s{i}", At("disk.q"));
            await ExternalTool.RunAsync("qemu-io", directory, "-c", $"write -P {200 + i} 100k 1M", At("disk.q"));
        }

        if (options.Contains("bits=64", StringComparison.Ordinal))
        {
            return;
        }

        foreach (var name in new[] { "b0", "b1" })
        {
            await ExternalTool.RunAsync("qemu-img", directory, "bitmap", "--add", "-g", "512", At("disk.q"), name);
            await ExternalTool.RunAsync("qemu-io", directory, writes);
        }
    }

    /// <returns>Whether it was killed before its end.</returns>
    private async Task<bool> KillAsync(string program, string[] words, int delay)
    {
        var start = new ProcessStartInfo(program, words)
        {
            WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var texts = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await Task.WhenAny(process.WaitForExitAsync(), Task.Delay(delay));
        process.Kill();
        await process.WaitForExitAsync();
        await texts;
        return process.ExitCode != 0;
    }

    private async Task<Content> ContentAsync(string name)
    {
        var content = new Content();
        var listed = await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-l", At("disk.q"));
        var names = listed.Split('\n', StringSplitOptions.RemoveEmptyEntries).Skip(2).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        foreach (var snapshot in new[] { "" }.Concat(names))
        {
            string[] which = snapshot.Length == 0 ? [] : ["-l", $"snapshot.name={snapshot}"];
            var result = await Tools.ByreAsync(["convert", "-f", "qcow2", "-O", "raw", .. which, At("disk.q"), At(name)]);
            Assert.True(result.Status == 0, result.Errors);
            content.Disks[snapshot] = await File.ReadAllBytesAsync(At(name));
        }

        await ExternalTool.RunAsync("qemu-img", directory, "convert", "-f", "qcow2", "-O", "raw", At("disk.q"), At(name));
        var read = await File.ReadAllBytesAsync(At(name));
        Assert.True(content.Disks[""].AsSpan().SequenceEqual(read), "QEMU reads another disk");
        return content;
    }

    private string[] Words(string[] words) =>
        ["img", .. words.Select(w => w switch { "DISK" => At("disk.q"), "OTHER" => At("other.q"), _ => w })];

    private void Keep(string name)
    {
        File.Copy(At("disk.q"), At(name), overwrite: true);
        File.Copy(At("b.q"), At(name) + ".b", overwrite: true);
    }

    private void PutBack(string name)
    {
        File.Copy(At(name), At("disk.q"), overwrite: true);
        File.Copy(At(name) + ".b", At("b.q"), overwrite: true);
    }

    private string At(string name) => Path.Combine(directory, name);

    private static int Number(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var n) ? n : otherwise;

    private sealed class Content
    {
        public Dictionary<string, byte[]> Disks { get; } = new(StringComparer.Ordinal);
    }
}
