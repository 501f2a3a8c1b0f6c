using System.Globalization;
using Byre.Interop.Img;

namespace Byre.Interop.Combined;

/// <summary>An image of a random kind over a random backing image, what was done to it, and what must be read of it.</summary>
internal sealed class CombinedImage(string directory, Random random)
{
    private const int Unit = 512;
    private static readonly string[] Secret = ["--object", "secret,id=s,data=abc"];

    private readonly CombinedTools tools = new(directory);
    private readonly CombinedModel model = new();
    private readonly Dictionary<string, byte[]> lower = new(StringComparer.Ordinal);
    private readonly List<string> told = [];
    private string? backing;
    private int clusterSize;
    private bool isOld;
    private bool isEncrypted;
    private bool isFixed; // an external data file, which shows the guest's bytes
    private bool isExtended;
    private int refcountBits = 16;
    private bool hasDataFile;
    private int made;

    /// <summary>What was done, a step a line.</summary>
    public string Told => string.Join("\n  ", told);

    public int Done { get; private set; }

    public int Refused { get; private set; }

    /// <summary>QEMU has damaged it by its own account.</summary>
    public bool IsSpoilt { get; private set; }

    private string Disk => Path.Combine(directory, "disk.q");

    private string Spec => $"driver=qcow2,file.filename={Disk}" + (isEncrypted ? ",encrypt.key-secret=s" : "");

    private string[] Image => ["--image-opts", Spec];

    private bool HasSnapshots => model.Snapshots.Count > 0;

    public async Task CreateAsync()
    {
        await MakeLowerAsync();
        var options = DrawOptions();
        var length = random.Next(1, clusterSize < 4096 ? 500 : 4000) * Unit;
        model.Disk = new byte[length];
        backing = isFixed || options.Contains("preallocation", StringComparison.Ordinal) ? null : new[] { null, "a.raw", "b.q", "c.q" }[random.Next(4)];
        if (backing is not null)
        {
            lower[backing].AsSpan(0, Math.Min(length, lower[backing].Length)).CopyTo(model.Disk);
        }

        string[] words =
        [
            "create", "-q", .. Secret, "-f", "qcow2", "-o", options,
            .. backing is null ? Array.Empty<string>() : ["-b", Path.Combine(directory, backing), "-F", Format(backing)], Disk, $"{length}",
        ];
        var tool = random.Next(CombinedTools.Count);
        told.Add($"{CombinedTools.Name(tool)}: {options}, {length} bytes over {backing ?? "nothing"}");
        var result = await tools.ImgAsync(tool, words);

        // On a busy machine qemu-img cannot always measure how many iterations a key takes.
        for (var tries = 0; result.Status != 0 && isEncrypted && tries < 50; tries++)
        {
            result = await tools.ImgAsync(tool, words);
        }

        Assert.True(result.Status == 0, result.Errors);
    }

    public async Task StepAsync()
    {
        var tool = random.Next(CombinedTools.Count);
        var names = model.Bitmaps.Keys.Order(StringComparer.Ordinal).ToArray();
        var name = names.Length == 0 ? null : names[random.Next(names.Length)];
        await (random.Next(20) switch
        {
            0 or 1 => TakeSnapshotAsync(tool),
            2 when HasSnapshots => DeleteSnapshotAsync(tool),
            3 when HasSnapshots => ApplySnapshotAsync(tool),
            4 or 5 => AddBitmapAsync(tool),
            6 or 7 when name is not null => ChangeBitmapAsync(tool, name, names[random.Next(names.Length)]),
            8 or 9 => ResizeAsync(tool),
            10 when !HasSnapshots && backing is "b.q" or "c.q" => CommitAsync(tool),
            11 or 12 when !HasSnapshots && !isFixed => RebaseAsync(tool),
            13 or 14 => AmendAsync(tool),
            15 => CopyAsync(tool),
            16 => RepairAsync(tool),
            _ => WriteAsync(tool),
        });
    }

    /// <summary>Compares what Byre and one of QEMU's tools read with the model, and has both check the image.</summary>
    public async Task AssertAsItShouldBeAsync()
    {
        if (IsSpoilt)
        {
            return;
        }

        foreach (var tool in new[] { 0, random.Next(1, CombinedTools.Count) })
        {
            var check = await tools.ImgAsync(tool, ["check", .. Secret, .. Image]);
            Assert.True(check.Status == 0, $"{CombinedTools.Name(tool)}'s check ends with {check.Status}: {check.Output}{check.Errors}");
            var read = await ReadAsync(tool, null);
            Assert.True(read.AsSpan().SequenceEqual(model.Disk), $"{CombinedTools.Name(tool)} reads {Difference(read, model.Disk)}");
            foreach (var (name, disk) in model.Snapshots)
            {
                if (tool == 0 || disk.Length == model.Disk.Length)
                {
                    // QEMU gives every snapshot the length that the disk has now.
                    read = await ReadAsync(tool, name);
                    Assert.True(read.AsSpan().SequenceEqual(disk), $"{CombinedTools.Name(tool)} reads of {name} {Difference(read, disk)}");
                }
            }

            if (backing is not null)
            {
                read = await ReadFileAsync(tool, "-f", Format(backing), Path.Combine(directory, backing));
                Assert.True(read.AsSpan().SequenceEqual(lower[backing]), $"{CombinedTools.Name(tool)} reads of {backing} {Difference(read, lower[backing])}");
            }
        }

        await model.AssertBitmapsAsync(Disk, isEncrypted);
    }

    private static string Difference(byte[] read, byte[] expected)
    {
        var at = read.AsSpan().CommonPrefixLength(expected);
        return $"{read.Length} bytes, right up to {at} of {expected.Length}"
            + (at < Math.Min(read.Length, expected.Length) ? $", where {read[at]} is and not {expected[at]}" : "");
    }

    private static string Format(string name) => name.EndsWith(".raw", StringComparison.Ordinal) ? "raw" : "qcow2";

    private async Task MakeLowerAsync()
    {
        foreach (var (name, value) in new[] { ("a.raw", 0xa1), ("d.raw", 0xd1), ("b.q", 0xd1), ("c.q", 0xc1) })
        {
            var bytes = new byte[random.Next(1, 3000) * Unit];
            for (var at = 0; at < bytes.Length; at += 4096)
            {
                bytes.AsSpan(at, Math.Min(4096, bytes.Length - at)).Fill(random.Next(3) == 0 ? (byte)0 : (byte)value);
            }

            var path = Path.Combine(directory, name);
            if (name == "b.q")
            {
                bytes = lower["d.raw"];
                await tools.ImgAsync(1, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", Path.Combine(directory, "d.raw"), "-F", "raw", path);
            }
            else
            {
                await File.WriteAllBytesAsync(path, bytes);
                if (name == "c.q")
                {
                    await tools.ImgAsync(1, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=1k", path, path + ".new");
                    File.Move(path + ".new", path, overwrite: true);
                }
            }

            lower[name] = (byte[])bytes.Clone();
        }
    }

    private string DrawOptions(bool isCopy = false)
    {
        var bits = random.Next(5) switch { 0 => 9, 1 or 2 => 12, 3 => 16, _ => random.Next(9, 19) };
        clusterSize = 1 << bits;
        isOld = random.Next(5) == 0;
        isEncrypted = random.Next(4) == 0;
        isExtended = !isOld && bits >= 14 && random.Next(3) == 0;
        hasDataFile = !isOld && !isCopy && random.Next(6) == 0;
        isFixed = hasDataFile && !isEncrypted && random.Next(2) == 0;
        refcountBits = isOld ? 16 : 1 << random.Next(7);
        var options = $"cluster_size={clusterSize},compat={(isOld ? "0.10" : "1.1")}";
        if (!isOld)
        {
            options += $",extended_l2={(isExtended ? "on" : "off")},refcount_bits={refcountBits},lazy_refcounts={(random.Next(4) == 0 ? "on" : "off")}"
                + (hasDataFile ? $",data_file={directory}/data.raw,data_file_raw={(isFixed ? "on" : "off")}" : $",compression_type={(random.Next(3) == 0 ? "zstd" : "zlib")}");
        }

        // What was never written of a preallocated image that is encrypted reads as whatever its key makes of zeroes.
        return options + (isEncrypted ? ",encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10" : "")
            + (random.Next(5) == 0 && !isEncrypted ? ",preallocation=" + new[] { "metadata", "falloc", "full" }[random.Next(3)] : "");
    }

    private async Task<bool> RunAsync(int tool, params string[] words)
    {
        told.Add($"{CombinedTools.Name(tool)}: {string.Join(' ', words.Select(w => w == Spec ? "DISK" : w.Replace(directory + "/", "", StringComparison.Ordinal)))}");
        var result = await tools.ImgAsync(tool, [words[0], .. Secret, .. words[1..]]);
        if (result.Status == 0)
        {
            Done++;
            return true;
        }

        told[^1] += $" -> {result.Status} {result.Errors.Trim()}";
        Assert.True(CombinedRefusals.IsKnown(words[0], result.Errors), $"refused: {result.Errors}{result.Output}");
        Refused++;
        return false;
    }

    private async Task TakeSnapshotAsync(int tool)
    {
        var name = $"s{made++}";
        if (!hasDataFile && refcountBits > 1 && model.Snapshots.Count + 1 < (1L << Math.Min(refcountBits, 10)) - 1
            && await RunAsync(tool, ["snapshot", "-c", name, .. Image]))
        {
            model.Snapshots.Add((name, (byte[])model.Disk.Clone()));
        }
    }

    private async Task DeleteSnapshotAsync(int tool)
    {
        var at = random.Next(model.Snapshots.Count);
        if (await RunAsync(tool, ["snapshot", "-d", model.Snapshots[at].Name, .. Image]))
        {
            model.Snapshots.RemoveAt(at);
        }
    }

    private async Task ApplySnapshotAsync(int tool)
    {
        var (name, disk) = model.Snapshots[random.Next(model.Snapshots.Count)];
        if (await RunAsync(tool, ["snapshot", "-a", name, .. Image]))
        {
            model.Disk = (byte[])disk.Clone();
            model.ResizeBitmaps();
        }
    }

    private async Task AddBitmapAsync(int tool)
    {
        var name = $"b{made++}";
        var granularity = 512 << random.Next(10);
        var isEnabled = random.Next(3) != 0;
        if (!isOld && await RunAsync(tool, ["bitmap", "--add", "-g", $"{granularity}", .. isEnabled ? Array.Empty<string>() : ["--disable"], .. Image, name]))
        {
            model.Bitmaps[name] = new CombinedModel.Bitmap(granularity, model.Disk.Length) { IsEnabled = isEnabled };
        }
    }

    private async Task ChangeBitmapAsync(int tool, string name, string other)
    {
        var bitmap = model.Bitmaps[name];
        var (word, change) = random.Next(5) switch
        {
            0 => ("--remove", (Action)(() => model.Bitmaps.Remove(name))),
            1 => ("--clear", () => Array.Clear(bitmap.Bits)),
            2 => ("--enable", () => bitmap.IsEnabled = true),
            3 => ("--disable", () => bitmap.IsEnabled = false),
            _ => ("--merge", () => bitmap.Merge(model.Bitmaps[other])),
        };
        if (await RunAsync(tool, ["bitmap", word, .. word == "--merge" ? [other] : Array.Empty<string>(), .. Image, name]))
        {
            change();
        }
    }

    private async Task ResizeAsync(int tool)
    {
        var before = model.Disk.Length;
        var length = random.Next(3) == 0 ? random.Next(1, (before / Unit) + 1) * Unit : before + (random.Next(1, 400) * Unit);
        if (!await RunAsync(tool, ["resize", "-q", "--shrink", .. Image, $"{length}"]))
        {
            return;
        }

        var disk = new byte[length];
        model.Disk.AsSpan(0, Math.Min(length, before)).CopyTo(disk);
        model.Disk = disk;
        model.ResizeBitmaps();
        if (length > before && tool != 0)
        {
            // What QEMU cut off within the last cluster, and did not clear, comes to light again when it makes the disk longer.
            var end = (int)Math.Min(length, ((long)before + clusterSize - 1) / clusterSize * clusterSize);
            (await ReadAsync(tool, null)).AsSpan(before, end - before).CopyTo(disk.AsSpan(before));
        }
    }

    private async Task CommitAsync(int tool)
    {
        var keeps = random.Next(3) == 0;
        if (await RunAsync(tool, ["commit", "-q", .. keeps ? ["-d"] : Array.Empty<string>(), .. Image]))
        {
            var below = lower[backing!];
            var now = new byte[Math.Max(below.Length, model.Disk.Length)];
            below.CopyTo(now, 0);
            model.Disk.CopyTo(now, 0);
            lower[backing!] = now;
        }
    }

    private async Task RebaseAsync(int tool)
    {
        tool = isOld ? 0 : tool; // QEMU's tools let the new backing file show through zeroes that version 2 cannot flag
        var target = new[] { null, "a.raw", "b.q", "c.q" }[random.Next(4)];
        if (await RunAsync(tool, ["rebase", "-b", target is null ? "" : Path.Combine(directory, target), .. target is null ? Array.Empty<string>() : ["-F", Format(target)], .. Image]))
        {
            backing = target;
        }
    }

    private async Task AmendAsync(int tool)
    {
        var (option, change) = random.Next(5) switch
        {
            0 or 1 => ($"refcount_bits={1 << random.Next(3, 7)}", (Action<string>)(o => refcountBits = int.Parse(o[14..], CultureInfo.InvariantCulture))),
            2 => ("compat=0.10", _ => isOld = true),
            3 => ("compat=1.1", _ => isOld = false),
            _ => ($"lazy_refcounts={(random.Next(2) == 0 ? "on" : "off")}", _ => { }),
        };

        // Version 2 knows no bitmaps; QEMU forgets them there and leaks their clusters.
        if ((option != "compat=0.10" || model.Bitmaps.Count == 0) && await RunAsync(tool, ["amend", "-o", option, .. Image]))
        {
            change(option);
        }
    }

    private async Task CopyAsync(int tool)
    {
        var keepsBitmaps = model.Bitmaps.Count > 0 && random.Next(3) != 0;
        var (source, bits, old) = (Image, refcountBits, (clusterSize, isOld, isEncrypted, isExtended, hasDataFile, isFixed));
        var options = DrawOptions(isCopy: true);
        if (keepsBitmaps && isOld)
        {
            keepsBitmaps = false;
        }

        var isCompressed = random.Next(4) == 0 && !isEncrypted && !options.Contains("preallocation", StringComparison.Ordinal);
        if (await RunAsync(
            tool,
            [
                "convert", "-O", "qcow2", "-o", options, .. keepsBitmaps ? ["--bitmaps"] : Array.Empty<string>(),
                .. isCompressed ? ["-c"] : Array.Empty<string>(), .. source, Disk + ".new",
            ]))
        {
            File.Move(Disk + ".new", Disk, overwrite: true);
            backing = null;
            model.Snapshots.Clear();
            if (!keepsBitmaps)
            {
                model.Bitmaps.Clear();
            }
        }
        else
        {
            (clusterSize, isOld, isEncrypted, isExtended, hasDataFile, isFixed) = old;
            refcountBits = bits;
        }
    }

    private async Task RepairAsync(int tool) => await RunAsync(tool, ["check", "-r", "all", .. Image]);

    private async Task WriteAsync(int tool)
    {
        var commands = new List<string>();
        var discards = new List<(int At, int Length)>();
        var disk = (byte[])model.Disk.Clone();
        for (var i = random.Next(1, 6); i > 0; i--)
        {
            var at = random.Next(disk.Length / Unit) * Unit;
            var length = Math.Min(random.Next(1, random.Next(2) == 0 ? 20 : 400) * Unit, disk.Length - at);
            var value = (byte)random.Next(1, 250);
            switch (random.Next(8))
            {
                case 0:
                    commands.Add($"discard {at} {length}");
                    discards.Add((at, length));
                    break;
                case 1 or 2:
                    commands.Add($"write -z{(random.Next(2) == 0 ? " -u" : "")} {at} {length}");
                    value = 0;
                    break;
                case 3 when tool == 0 && !isEncrypted && !hasDataFile:
                    at = at / clusterSize * clusterSize;
                    length = Math.Min(clusterSize, disk.Length - at);
                    commands.Add($"write -c -P {value} {at} {length}");
                    break;
                default:
                    commands.Add($"write -P {value} {at} {length}");
                    break;
            }

            model.Mark(at, length);
            if (discards.Count > 0)
            {
                break; // what it reads as is the tool's affair: it is asked before anything else is done
            }

            disk.AsSpan(at, length).Fill(value);
        }

        told.Add($"{CombinedTools.Name(tool)}: {string.Join("; ", commands)}");
        var result = await tools.IoAsync(tool, ["-d", "unmap", .. Secret, .. commands.SelectMany(c => new[] { "-c", c }), .. Image]);
        Assert.True(result.Status == 0 && result.Errors.Length == 0, result.Output + result.Errors);
        Done++;
        foreach (var (at, length) in discards)
        {
            var now = await ReadAsync(tool, null);
            for (var i = at; i < at + length; i++)
            {
                var below = backing is not null && i < lower[backing].Length ? lower[backing][i] : 0;
                Assert.True(now[i] == 0 || now[i] == disk[i] || (isOld && now[i] == below), $"byte {i}, discarded, reads as {now[i]} and was {disk[i]}");
            }

            now.AsSpan(at, length).CopyTo(disk.AsSpan(at));
        }

        model.Disk = disk;
    }

    private Task<byte[]> ReadAsync(int tool, string? snapshot) => ReadFileAsync(
        tool, [.. snapshot is null ? Array.Empty<string>() : ["-l", $"snapshot.name={snapshot}"], .. Image]);

    private async Task<byte[]> ReadFileAsync(int tool, params string[] words)
    {
        var target = Path.Combine(directory, "read.raw");
        var result = await tools.ImgAsync(tool, ["convert", "-q", .. Secret, "-O", "raw", .. words, target]);
        Assert.True(result.Status == 0, $"{CombinedTools.Name(tool)} cannot read: {result.Errors}");
        return await File.ReadAllBytesAsync(target);
    }
}
