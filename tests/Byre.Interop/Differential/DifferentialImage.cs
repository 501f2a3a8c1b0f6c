using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Interop.Differential;

/// <summary>A random kind of qcow2 image in a directory of its own, and what its disk must read as.</summary>
internal sealed class DifferentialImage
{
    private const int Unit = 512;

    private readonly string directory;
    private readonly string tools;
    private readonly Random random;

    private DifferentialImage(string directory, string tools, Random random, string options, int clusterSize, int length)
    {
        this.directory = directory;
        this.tools = tools;
        this.random = random;
        Options = options;
        ClusterSize = clusterSize;
        Content = new byte[length];
    }

    /// <summary>What qemu-img create got with -o.</summary>
    public string Options { get; }

    public int ClusterSize { get; }

    /// <summary>What the disk reads as.</summary>
    public byte[] Content { get; private set; }

    public bool HasDataFile { get; private init; }

    /// <summary>"raw" or "qcow2", or null where there is no backing image.</summary>
    public string? BackingFormat { get; private init; }

    private string Disk => Path.Combine(directory, "disk.qcow2");

    /// <summary>Makes an image with random options, by qemu-img.</summary>
    /// <param name="directory">Where.</param>
    /// <param name="tools">The directory of QEMU's tools; empty for those on the path.</param>
    /// <param name="random">Decides everything.</param>
    public static async Task<DifferentialImage> CreateAsync(string directory, string tools, Random random)
    {
        var bits = random.Next(6) switch { 0 => 9, 1 or 2 => 12, 3 or 4 => 16, _ => random.Next(9, 22) };
        var isOld = random.Next(5) == 0;
        var extended = !isOld && bits >= 14 && random.Next(3) == 0;
        var hasDataFile = !isOld && random.Next(5) == 0;
        var isRaw = hasDataFile && random.Next(2) == 0;
        var backing = isRaw ? null : random.Next(4) switch { 0 => "raw", 1 => "qcow2", _ => null };
        var length = random.Next(1, bits < 12 ? 600 : 5000) * Unit;
        var options = $"cluster_size={1 << bits},compat={(isOld ? "0.10" : "1.1")}";
        if (!isOld)
        {
            options += $",extended_l2={(extended ? "on" : "off")},refcount_bits={1 << random.Next(7)}"
                + $",lazy_refcounts={(random.Next(4) == 0 ? "on" : "off")},compression_type={(random.Next(3) == 0 && !hasDataFile ? "zstd" : "zlib")}"
                + (hasDataFile ? $",data_file=data.raw,data_file_raw={(isRaw ? "on" : "off")}" : "");
        }

        options += backing is null && random.Next(4) == 0 ? ",preallocation=" + new[] { "metadata", "falloc", "full" }[random.Next(3)] : "";
        var image = new DifferentialImage(directory, tools, random, options, 1 << bits, length) { HasDataFile = hasDataFile, BackingFormat = backing };
        var arguments = new List<string> { "create", "-q", "-f", "qcow2", "-o", options };
        if (backing is not null)
        {
            var below = new byte[random.Next(1, 2 * length / Unit) * Unit];
            below.AsSpan().Fill(0xbb);
            below.AsSpan(0, Math.Min(length, below.Length)).CopyTo(image.Content);
            await File.WriteAllBytesAsync(Path.Combine(directory, "base.raw"), below);
            await ExternalTool.RunAsync(Path.Combine(tools, "qemu-img"), directory, "convert", "-S", "0", "-O", backing, "-f", "raw", "base.raw", "base.img");
            arguments.AddRange(["-b", "base.img", "-F", backing]);
        }

        await ExternalTool.RunAsync(Path.Combine(tools, "qemu-img"), directory, [.. arguments, "disk.qcow2", $"{length}"]);
        return image;
    }

    /// <summary>Makes random requests through Byre, some with caches that hold next to nothing, some two at a time.</summary>
    public async Task WriteWithByreAsync(int count)
    {
        var options = random.Next(2) == 0 ? new Qcow2OpenOptions() : new Qcow2OpenOptions { L2CacheBytes = 1, RefcountCacheBytes = 1, PassDiscardOther = true };
        await using var edge = await OpenAsync(options);
        for (var i = 0; i < count; i++)
        {
            var first = Draw();
            var second = Draw();
            var isApart = first.Offset + first.Length <= second.Offset || second.Offset + second.Length <= first.Offset;
            if (isApart && random.Next(3) == 0)
            {
                await Task.WhenAll(Task.Run(() => RequestAsync(edge, first)), Task.Run(() => RequestAsync(edge, second)));
            }
            else
            {
                await RequestAsync(edge, first);
            }
        }
    }

    /// <summary>Makes random requests through qemu-io.</summary>
    public async Task WriteWithQemuAsync(int count)
    {
        var commands = new List<string>();
        var writes = new List<(string Kind, int Offset, int Length, byte Pattern)>();
        var discards = new List<(int Offset, int Length)>();
        for (var i = 0; i < count; i++)
        {
            var (kind, offset, length, pattern) = Draw();
            if (kind == "flush")
            {
                commands.Add(kind);
                continue;
            }

            commands.Add($"{kind}{(kind is "write" or "write -c" ? $" -P {pattern}" : "")} {offset} {length}");
            if (kind == "discard")
            {
                // What it reads as is QEMU's affair: it is asked afterwards, and nothing else is done to these bytes before.
                discards.Add((offset, length));
                break;
            }

            writes.Add((kind, offset, length, kind.StartsWith("write -z", StringComparison.Ordinal) ? (byte)0 : pattern));
        }

        var (status, output, error) = await ExternalTool.TryRunAsync(
            Path.Combine(tools, "qemu-io"), directory, [.. commands.SelectMany(c => new[] { "-c", c }), "-d", "unmap", "-f", "qcow2", "disk.qcow2"]);
        var outcomes = output.Split('\n').Where(l => l.StartsWith("wrote ", StringComparison.Ordinal) || l.StartsWith("write failed", StringComparison.Ordinal)).ToList();
        Assert.True(error.Length == 0 && outcomes.Count == writes.Count, $"{string.Join("; ", commands)}: {status} {output}{error}");
        foreach (var ((kind, offset, length, pattern), outcome) in writes.Zip(outcomes))
        {
            // QEMU does not write compressed over a cluster that is there already.
            var isDone = outcome.StartsWith("wrote ", StringComparison.Ordinal);
            Assert.True(isDone || kind == "write -c", $"{kind} {offset} {length}: {outcome}");
            if (isDone)
            {
                Content.AsSpan(offset, length).Fill(pattern);
            }
        }

        foreach (var (offset, length) in discards)
        {
            var now = await ReadWithQemuAsync();
            Assert.Null(CheckDiscarded(offset, now.AsSpan(offset, length)));
            now.AsSpan(offset, length).CopyTo(Content.AsSpan(offset));
        }
    }

    /// <summary>Makes the disk longer or shorter, by qemu-img or by Byre; over a longer backing image, too.</summary>
    public async Task ResizeAsync()
    {
        var isOld = Options.Contains("compat=0.10", StringComparison.Ordinal);
        if (Options.Contains("preallocation", StringComparison.Ordinal) || (BackingFormat is not null && isOld))
        {
            return; // neither makes a disk of version 2 longer where its backing image would show
        }

        var isShorter = random.Next(3) == 0;
        var length = isShorter ? random.Next(1, (Content.Length / Unit) + 1) * Unit : Content.Length + (random.Next(1, 200) * Unit);
        var isByres = random.Next(2) == 0;
        if (isByres)
        {
            await using var edge = await OpenAsync(new Qcow2OpenOptions());
            await edge.ResizeAsync(length);
        }
        else
        {
            await ExternalTool.RunAsync(Path.Combine(tools, "qemu-img"), directory, "resize", "-q", "--shrink", "-f", "qcow2", "disk.qcow2", $"{length}");
        }

        var resized = new byte[length];
        Content.AsSpan(0, Math.Min(length, Content.Length)).CopyTo(resized);
        var grown = (int)Math.Min(length, ((long)Content.Length + ClusterSize - 1) / ClusterSize * ClusterSize) - Content.Length;
        if (grown > 0 && !isByres)
        {
            // What QEMU cut off within the last cluster, and did not clear, comes to light again when it makes the disk longer.
            var now = await ReadWithQemuAsync();
            now.AsSpan(Content.Length, grown).CopyTo(resized.AsSpan(Content.Length));
        }

        Content = resized;
    }

    /// <summary>
    /// QEMU, which wrote last, has spoilt the image by its own account, and Byre sees what QEMU sees. It does with compressed
    /// clusters now and then: one cluster of the file then belongs to two of the disk.
    /// </summary>
    public async Task<bool> IsSpoiltByQemuAsync()
    {
        var (status, _, _) = await ExternalTool.TryRunAsync(Path.Combine(tools, "qemu-img"), directory, ["check", "disk.qcow2"]);
        var report = await Qcow2Images.CheckAsync(FileNode.Open(new FileNodeOptions { Path = Disk, ReadOnly = true }));
        await using var edge = await OpenAsync(new Qcow2OpenOptions { ReadOnly = true });
        var read = await Qcow2Images.ReadAllAsync(edge);
        var readByQemu = await ReadWithQemuAsync();
        return status == 2 && report.Corruptions > 0 && read.AsSpan().SequenceEqual(readByQemu);
    }

    /// <summary>Compares what both read, and has both check the image.</summary>
    /// <returns>What is wrong, or null.</returns>
    public async Task<string?> FindProblemAsync()
    {
        await using (var edge = await OpenAsync(new Qcow2OpenOptions { ReadOnly = true }))
        {
            var read = await Qcow2Images.ReadAllAsync(edge, random.Next(1, 300) * Unit);
            if (Difference("Byre", read) is { } byreReads)
            {
                return byreReads;
            }
        }

        if (Difference("QEMU", await ReadWithQemuAsync()) is { } qemuReads)
        {
            return qemuReads;
        }

        var (status, output, error) = await ExternalTool.TryRunAsync(Path.Combine(tools, "qemu-img"), directory, ["check", "disk.qcow2"]);
        if (status != 0)
        {
            return $"qemu-img check ends with {status}: {output}{error}";
        }

        var report = await Qcow2Images.CheckAsync(FileNode.Open(new FileNodeOptions { Path = Disk, ReadOnly = true }));
        return Qcow2Images.Problem(report, leaksCount: true) is { } problem ? "Byre's check finds " + problem : null;
    }

    private async Task RequestAsync(BlockEdge edge, (string Kind, int Offset, int Length, byte Pattern) request)
    {
        var (kind, offset, length, pattern) = request;
        var data = new byte[length];
        data.AsSpan().Fill(pattern);
        switch (kind)
        {
            case "write":
                await edge.WriteAsync(offset, data);
                break;
            case "write -c":
                await edge.WriteAsync(offset, data, WriteFlags.Compressed);
                break;
            case "write -z" or "write -z -u":
                await edge.WriteZeroesAsync(offset, length, kind.EndsWith("-u", StringComparison.Ordinal) ? WriteFlags.MayUnmap : WriteFlags.None);
                data.AsSpan().Clear();
                break;
            case "discard":
                await edge.DiscardAsync(offset, length);
                await edge.ReadAsync(offset, data);
                Assert.Null(CheckDiscarded(offset, data));
                break;
            default:
                await edge.FlushAsync();
                return;
        }

        data.CopyTo(Content, offset);
    }

    private Task<BlockEdge> OpenAsync(Qcow2OpenOptions options)
    {
        var file = FileNode.Open(new FileNodeOptions { Path = Disk, ReadOnly = options.ReadOnly });
        var data = HasDataFile
            ? FileNode.Open(new FileNodeOptions { Path = Path.Combine(directory, "data.raw"), ReadOnly = options.ReadOnly })
            : null;
        var backing = BackingFormat is null ? null : FileNode.Open(new FileNodeOptions { Path = Path.Combine(directory, "base.raw"), ReadOnly = true });
        return Qcow2Images.OpenAsync(file, data, backing, options);
    }

    private async Task<byte[]> ReadWithQemuAsync()
    {
        await ExternalTool.RunAsync(Path.Combine(tools, "qemu-img"), directory, "convert", "-f", "qcow2", "-O", "raw", "disk.qcow2", "out.raw");
        return await File.ReadAllBytesAsync(Path.Combine(directory, "out.raw"));
    }

    private (string Kind, int Offset, int Length, byte Pattern) Draw()
    {
        var units = Content.Length / Unit;
        var offset = random.Next(units) * Unit;
        var length = Math.Min(random.Next(1, Math.Max(2, random.Next(4) == 0 ? 3 * ClusterSize / Unit : 40)) * Unit, Content.Length - offset);
        var pattern = (byte)random.Next(1, 250);
        var kind = random.Next(20) switch
        {
            < 9 => "write",
            < 11 => "write -z",
            < 13 => "write -z -u",
            < 15 => "discard",
            < 18 when !HasDataFile => "write -c",
            < 19 => "write",
            _ => "flush",
        };
        if (kind == "write -c")
        {
            offset = offset / ClusterSize * ClusterSize;
            length = Math.Min(ClusterSize, Content.Length - offset);
        }

        return (kind, offset, length, pattern);
    }

    /// <summary>A discarded range reads as it did, or as zeroes, sector by sector.</summary>
    private string? CheckDiscarded(int offset, ReadOnlySpan<byte> now)
    {
        for (var i = 0; i < now.Length; i += Unit)
        {
            var sector = now.Slice(i, Unit);
            if (sector.ContainsAnyExcept((byte)0) && !sector.SequenceEqual(Content.AsSpan(offset + i, Unit)))
            {
                return $"{Options}: discarded bytes at {offset + i} read as foreign ones";
            }
        }

        return null;
    }

    private string? Difference(string who, byte[] read)
    {
        if (read.Length != Content.Length)
        {
            return $"{who} sees {read.Length} bytes, not {Content.Length}";
        }

        var same = read.AsSpan().CommonPrefixLength(Content);
        return same == read.Length ? null : $"{who} reads {read[same]} at {same} (cluster {same / ClusterSize}), not {Content[same]}";
    }
}
