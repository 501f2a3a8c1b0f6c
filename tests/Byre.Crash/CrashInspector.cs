using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>Reopens what a crash left behind, with Byre and with QEMU's tools, and says what is wrong with it.</summary>
internal sealed class CrashInspector(CrashRun run)
{
    private readonly CrashConfiguration configuration = run.Configuration;

    /// <summary>Inspects the files as Byre sees them.</summary>
    /// <returns>What is wrong, or null.</returns>
    public async Task<string?> InspectAsync(byte[] file, byte[]? dataFile, long tick, bool isClean)
    {
        if (run.UncountedReleases != 0)
        {
            return $"{run.UncountedReleases} references were given back that were not counted";
        }

        try
        {
            var node = new MemoryNode(file);
            using var keep = new KeptNode(node);
            var wasDirty = await RepairIfDirtyAsync(node);
            var report = await Qcow2Images.CheckAsync(node);
            if (Qcow2Images.Problem(report, leaksCount: isClean || wasDirty) is { } found)
            {
                return (isClean ? "after a clean close: " : "") + found;
            }

            var data = dataFile is null ? null : new MemoryNode(dataFile);
            var edge = await Qcow2Images.OpenAsync(node, data, MakeBacking(), new Qcow2OpenOptions { ReadOnly = true });
            var content = await Qcow2Images.ReadAllAsync(edge, 128 << 10);
            await edge.DisposeAsync();
            return run.Model.Verify(content, tick);
        }
        catch (BlockException e)
        {
            return $"{e.Code}: {e.Message}";
        }
    }

    /// <summary>Goes on writing to what a crash left behind.</summary>
    /// <returns>What is wrong afterwards, or null.</returns>
    public async Task<string?> ContinueAsync(byte[] file, byte[]? dataFile, long tick, Random random)
    {
        try
        {
            var node = new MemoryNode(file);
            using var keep = new KeptNode(node);
            await RepairIfDirtyAsync(node);
            var data = dataFile is null ? null : new MemoryNode(dataFile);
            using var keepData = data is null ? null : new KeptNode(data);
            var edge = await Qcow2Images.OpenAsync(node, data, MakeBacking(), configuration.OpenOptions);
            var expected = await Qcow2Images.ReadAllAsync(edge);
            if (run.Model.Verify(expected, tick) is { } wrong)
            {
                return wrong;
            }

            for (var i = 0; i < 8; i++)
            {
                var offset = random.Next(expected.Length);
                var bytes = new byte[Math.Min(random.Next(1, configuration.ClusterSize * 3), expected.Length - offset)];
                random.NextBytes(bytes);
                bytes.CopyTo(expected, offset);
                await edge.WriteAsync(offset, bytes);
            }

            await edge.DisposeAsync();
            var report = await Qcow2Images.CheckAsync(node);
            if (Qcow2Images.Problem(report) is { } found)
            {
                return "after going on: " + found;
            }

            edge = await Qcow2Images.OpenAsync(node, data, MakeBacking(), new Qcow2OpenOptions { ReadOnly = true });
            var content = await Qcow2Images.ReadAllAsync(edge);
            await edge.DisposeAsync();
            var same = content.AsSpan().CommonPrefixLength(expected);
            return same == expected.Length ? null : $"after going on, byte {same} differs";
        }
        catch (BlockException e)
        {
            return $"when going on: {e.Code}: {e.Message}";
        }
    }

    /// <summary>Inspects the files with QEMU's tools.</summary>
    /// <returns>What is wrong, or null.</returns>
    public async Task<string?> InspectWithQemuAsync(byte[] file, byte[]? dataFile, long tick, string directory)
    {
        await File.WriteAllBytesAsync(Path.Combine(directory, "disk.qcow2"), file);
        await WriteAsync("data.raw", dataFile);
        await WriteAsync("base.raw", run.Backing);
        if (configuration.IsLazy)
        {
            await ExternalTool.TryRunAsync("qemu-img", directory, ["check", "-q", "-r", "all", "disk.qcow2"]);
        }

        var (status, output, error) = await ExternalTool.TryRunAsync("qemu-img", directory, ["check", .. Image()]);
        if (status is not (0 or 3))
        {
            return $"qemu-img check ends with {status}: {output}{error}";
        }

        (status, output, error) = await ExternalTool.TryRunAsync("qemu-img", directory, ["convert", "-O", "raw", .. Image(), "out.raw"]);
        if (status != 0)
        {
            return $"qemu-img convert ends with {status}: {output}{error}";
        }

        if (run.Model.Verify(await File.ReadAllBytesAsync(Path.Combine(directory, "out.raw")), tick) is { } problem)
        {
            return "qemu-img reads: " + problem;
        }

        if (run.Snapshot is null)
        {
            return null;
        }

        (status, output, error) = await ExternalTool.TryRunAsync(
            "qemu-img", directory, ["convert", "-l", "snapshot.name=first", "-O", "raw", "disk.qcow2", "out.raw"]);
        if (status != 0)
        {
            return $"qemu-img convert of the snapshot ends with {status}: {output}{error}";
        }

        var snapshot = await File.ReadAllBytesAsync(Path.Combine(directory, "out.raw"));
        return snapshot.AsSpan().SequenceEqual(run.Snapshot) ? null : "the snapshot's content has changed";

        Task WriteAsync(string name, byte[]? content) =>
            content is null ? Task.CompletedTask : File.WriteAllBytesAsync(Path.Combine(directory, name), content);
    }

    /// <summary>What the tools are told of the image.</summary>
    private string[] Image() => configuration.Create?.Encryption is null ? ["disk.qcow2"]
        : ["--object", "secret,id=s,data=abc", "--image-opts", "driver=qcow2,file.filename=disk.qcow2,encrypt.key-secret=s"];

    private static async Task<bool> IsDirtyAsync(BlockNode node)
    {
        await using var edge = new BlockEdge(node, ChildRole.Metadata, new(Permissions.ConsistentRead, Permissions.All));
        var header = await Qcow2HeaderReader.ReadAsync(edge);
        return (header.Incompatible & IncompatibleFeatures.Dirty) != 0;
    }

    private MemoryNode? MakeBacking() => run.Backing is null ? null : new MemoryNode(run.Backing);

    /// <summary>An image with lazy refcounts is repaired before it is used; no other may be marked dirty.</summary>
    private async Task<bool> RepairIfDirtyAsync(MemoryNode node)
    {
        if (!await IsDirtyAsync(node))
        {
            return false;
        }

        if (!configuration.IsLazy)
        {
            throw new BlockException(ErrorCode.Corrupt, "the image is marked dirty");
        }

        var report = await Qcow2Images.CheckAsync(node, RepairMode.All);
        return Qcow2Images.Problem(report, leaksCount: true) is { } problem
            ? throw new BlockException(ErrorCode.Corrupt, $"after the repair of a dirty image: {problem}")
            : true;
    }
}
