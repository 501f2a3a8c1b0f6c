using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Interop.Differential;

/// <summary>A random kind of qcow2 image with internal snapshots, worked on by Byre and by QEMU's tools in turn.</summary>
internal sealed class SnapshotImage
{
    private const int Unit = 512;
    private const int StateLength = 4096;

    private readonly string directory;
    private readonly string tools;
    private readonly Random random;
    private readonly List<State> snapshots = [];
    private readonly bool isOld;
    private readonly bool hasBacking;
    private readonly int most;
    private byte[] disk;
    private byte state; // what the VM state is filled with
    private int made;

    private SnapshotImage(string directory, string tools, Random random, string options, int length, bool hasBacking, int most)
    {
        this.directory = directory;
        this.tools = tools;
        this.random = random;
        this.hasBacking = hasBacking;
        this.most = most;
        Options = options;
        isOld = options.Contains("compat=0.10", StringComparison.Ordinal);
        disk = new byte[length];
    }

    /// <summary>What qemu-img create got with -o.</summary>
    public string Options { get; }

    private string Disk => Path.Combine(directory, "disk.qcow2");

    /// <summary>Makes an image with random options, by qemu-img.</summary>
    public static async Task<SnapshotImage> CreateAsync(string directory, string tools, Random random)
    {
        var bits = random.Next(4) switch { 0 => 9, 1 => 12, 2 => 16, _ => random.Next(9, 22) };
        var isOld = random.Next(4) == 0;
        var extended = !isOld && bits >= 14 && random.Next(3) == 0;
        var refcountBits = 1 << random.Next(2, 7);
        var options = $"cluster_size={1 << bits},compat={(isOld ? "0.10" : "1.1")}"
            + (isOld ? "" : $",extended_l2={(extended ? "on" : "off")},refcount_bits={refcountBits},lazy_refcounts={(random.Next(4) == 0 ? "on" : "off")}");
        var length = random.Next(1, bits < 12 ? 500 : 4000) * Unit;
        var hasBacking = random.Next(4) == 0;
        var image = new SnapshotImage(directory, tools, random, options, length, hasBacking, !isOld && refcountBits == 4 ? 12 : 20);
        if (hasBacking)
        {
            image.disk.AsSpan().Fill(0xbb);
            await File.WriteAllBytesAsync(Path.Combine(directory, "base.raw"), image.disk);
        }

        await image.QemuAsync(
            ["create", "-q", "-f", "qcow2", "-o", options, .. hasBacking ? new[] { "-b", "base.raw", "-F", "raw" } : [], "disk.qcow2", $"{length}"]);
        return image;
    }

    /// <summary>Does something, and says what.</summary>
    public async Task<string> StepAsync()
    {
        var isByres = random.Next(2) == 0;
        var who = isByres ? "Byre" : "QEMU";
        switch (random.Next(10))
        {
            case 0 or 1 when snapshots.Count < most:
                var name = $"s{made++}";
                await (isByres ? ByreAsync(s => s.CreateSnapshotAsync(new SnapshotRequest { Name = name }).AsTask()) : QemuAsync(["snapshot", "-c", name, "disk.qcow2"]));
                snapshots.Add(new State(name, (byte[])disk.Clone(), state));
                return $"{who} creates {name}";
            case 2 when snapshots.Count > 0:
                var index = random.Next(snapshots.Count);
                var gone = snapshots[index].Name;
                await (isByres ? ByreAsync(s => s.DeleteSnapshotAsync(new SnapshotSelector(null, gone)).AsTask()) : QemuAsync(["snapshot", "-d", gone, "disk.qcow2"]));
                snapshots.RemoveAt(index);
                return $"{who} deletes {gone}";
            case 3 when snapshots.Count > 0:
                var chosen = snapshots[random.Next(snapshots.Count)];
                if (chosen.Disk.Length < disk.Length && state != 0)
                {
                    (isByres, who) = (true, "Byre"); // QEMU leaks VM state where it makes a disk shorter
                }

                await (isByres ? ByreAsync(s => s.ApplySnapshotAsync(SnapshotSelector.Of(chosen.Name)).AsTask()) : QemuAsync(["snapshot", "-a", chosen.Name, "disk.qcow2"]));
                (disk, state) = ((byte[])chosen.Disk.Clone(), chosen.Vm);
                return $"{who} applies {chosen.Name}";
            case 4 when !hasBacking && (!isOld || snapshots.Count == 0):
                await ResizeAsync(isByres);
                return $"{who} resizes to {disk.Length}";
            case 5:
                state = (byte)random.Next(1, 250);
                await WriteStateAsync(isByres);
                return $"{who} writes VM state";
            default:
                await WriteAsync(isByres);
                return $"{who} writes";
        }
    }

    /// <summary>Compares what all see, and has all check the image.</summary>
    /// <returns>What is wrong, or null.</returns>
    public async Task<string?> FindProblemAsync()
    {
        await using (var edge = await OpenAsync(new Qcow2OpenOptions { ReadOnly = true }))
        {
            var names = (await ((ISnapshotStore)edge.Node).ListSnapshotsAsync()).Select(s => s.Name);
            if (!names.SequenceEqual(snapshots.Select(s => s.Name)))
            {
                return $"the snapshots are {string.Join(", ", names)}, not {string.Join(", ", snapshots.Select(s => s.Name))}";
            }

            if (await DifferenceAsync(edge, disk, state) is { } wrong)
            {
                return $"Byre reads {wrong}";
            }
        }

        foreach (var snapshot in snapshots)
        {
            await using var edge = await OpenAsync(new Qcow2OpenOptions { ReadOnly = true, Snapshot = SnapshotSelector.Of(snapshot.Name) });
            if (await DifferenceAsync(edge, snapshot.Disk, snapshot.Vm) is { } wrong)
            {
                return $"Byre reads of {snapshot.Name}: {wrong}";
            }
        }

        var read = await ReadWithQemuAsync(null);
        if (!disk.AsSpan().SequenceEqual(read))
        {
            return "QEMU reads another disk";
        }

        // QEMU gives every snapshot the length that the disk has now.
        var seen = snapshots.Find(s => s.Disk.Length == disk.Length);
        if (seen is not null)
        {
            read = await ReadWithQemuAsync(seen.Name);
            if (!seen.Disk.AsSpan().SequenceEqual(read))
            {
                return $"QEMU reads another {seen.Name}";
            }
        }

        var (status, output, error) = await ExternalTool.TryRunAsync(Path.Combine(tools, "qemu-img"), directory, ["check", "disk.qcow2"]);
        if (status != 0)
        {
            return $"qemu-img check ends with {status}: {output}{error}";
        }

        var report = await Qcow2Images.CheckAsync(FileNode.Open(new FileNodeOptions { Path = Disk, ReadOnly = true }));
        return Qcow2Images.Problem(report, leaksCount: true) is { } problem ? "Byre's check finds " + problem : null;
    }

    private async Task WriteAsync(bool isByres)
    {
        var commands = new List<string>();
        await using var edge = isByres ? await OpenAsync(new Qcow2OpenOptions()) : null;
        for (var i = random.Next(1, 6); i > 0; i--)
        {
            var at = random.Next(disk.Length / Unit) * Unit;
            var length = Math.Min(random.Next(1, 200) * Unit, disk.Length - at);
            var value = random.Next(4) == 0 ? (byte)0 : (byte)random.Next(1, 250);
            disk.AsSpan(at, length).Fill(value);
            if (edge is null)
            {
                commands.AddRange(["-c", value == 0 ? $"write -z {at} {length}" : $"write -P {value} {at} {length}"]);
            }
            else if (value == 0)
            {
                await edge.WriteZeroesAsync(at, length, random.Next(2) == 0 ? WriteFlags.MayUnmap : WriteFlags.None);
            }
            else
            {
                await edge.WriteAsync(at, disk.AsMemory(at, length));
            }

            if (edge is not null && random.Next(4) == 0)
            {
                var size = ((Qcow2Node)edge.Node).Header.ClusterSize;
                at = at / size * size;
                await edge.WriteAsync(at, disk.AsMemory(at, Math.Min(size, disk.Length - at)), WriteFlags.Compressed);
            }
        }

        if (edge is null)
        {
            await QemuIoAsync(commands);
        }
    }

    private async Task WriteStateAsync(bool isByres)
    {
        if (isByres)
        {
            await using var edge = await OpenAsync(new Qcow2OpenOptions());
            var bytes = new byte[StateLength];
            bytes.AsSpan().Fill(state);
            await ((IVmStateStore)edge.Node).WriteVmStateAsync(0, bytes);
        }
        else
        {
            await QemuIoAsync(["-c", $"write -b -P {state} 0 {StateLength}"]);
        }
    }

    private async Task ResizeAsync(bool isByres)
    {
        // QEMU leaks VM state where it makes a disk shorter.
        var length = Math.Max(isByres || state == 0 ? Unit : disk.Length, disk.Length + (random.Next(-200, 400) * Unit));
        if (isByres)
        {
            await using var edge = await OpenAsync(new Qcow2OpenOptions());
            await edge.ResizeAsync(length);
        }
        else
        {
            await QemuAsync(["resize", "-q", "--shrink", "-f", "qcow2", "disk.qcow2", $"{length}"]);
        }

        var before = disk.Length;
        var resized = new byte[length];
        disk.AsSpan(0, Math.Min(length, before)).CopyTo(resized);
        disk = resized;
        if (length > before && !isByres)
        {
            // What QEMU cut off before and did not clear comes to light again when it makes the disk longer.
            var now = await ReadWithQemuAsync(null);
            now.AsSpan(before).CopyTo(disk.AsSpan(before));
        }

        // The state lies behind the disk, and where that ends has changed.
        state = (byte)random.Next(1, 250);
        await WriteStateAsync(isByres);
    }

    private static async Task<string?> DifferenceAsync(BlockEdge edge, byte[] expected, byte vm)
    {
        var content = await Qcow2Images.ReadAllAsync(edge);
        if (!content.AsSpan().SequenceEqual(expected))
        {
            return $"{content.Length} bytes, right up to {content.AsSpan().CommonPrefixLength(expected)} of {expected.Length}";
        }

        var bytes = new byte[StateLength];
        await ((IVmStateStore)edge.Node).ReadVmStateAsync(0, bytes);
        return bytes.AsSpan().ContainsAnyExcept(vm) ? $"VM state {bytes[0]}, not {vm}" : null;
    }

    private async Task ByreAsync(Func<ISnapshotStore, Task> act)
    {
        await using var edge = await OpenAsync(new Qcow2OpenOptions());
        await act((ISnapshotStore)edge.Node);
    }

    private Task<string> QemuAsync(IReadOnlyList<string> arguments) => ExternalTool.RunAsync(Path.Combine(tools, "qemu-img"), directory, [.. arguments]);

    private async Task QemuIoAsync(IEnumerable<string> commands)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync(Path.Combine(tools, "qemu-io"), directory, [.. commands, "-f", "qcow2", "disk.qcow2"]);
        Assert.True(status == 0 && error.Length == 0 && !output.Contains("failed", StringComparison.Ordinal), $"qemu-io: {status} {output}{error}");
    }

    private async Task<byte[]> ReadWithQemuAsync(string? snapshot)
    {
        await QemuAsync(["convert", "-f", "qcow2", "-O", "raw", .. snapshot is null ? Array.Empty<string>() : ["-l", $"snapshot.name={snapshot}"], "disk.qcow2", "out.raw"]);
        return await File.ReadAllBytesAsync(Path.Combine(directory, "out.raw"));
    }

    private Task<BlockEdge> OpenAsync(Qcow2OpenOptions options) => Qcow2Images.OpenAsync(
        FileNode.Open(new FileNodeOptions { Path = Disk, ReadOnly = options.ReadOnly }),
        null,
        hasBacking ? FileNode.Open(new FileNodeOptions { Path = Path.Combine(directory, "base.raw"), ReadOnly = true }) : null,
        options);

    private sealed record State(string Name, byte[] Disk, byte Vm);
}
