using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>An image that qemu-img made, as a workload finds it.</summary>
/// <param name="File">The image file.</param>
/// <param name="DataFile">The external data file, where there is one.</param>
/// <param name="Backing">The backing image, where there is one.</param>
/// <param name="Values">What each sector of the disk holds.</param>
internal sealed record CrashImage(byte[] File, byte[]? DataFile, byte[]? Backing, int[] Values)
{
    private const int SnapshotWrites = 12;
    private const int FirstSnapshotValue = 1_000_000; // a workload's own begin at 1

    /// <summary>The snapshot's content, where there is one.</summary>
    public byte[]? Snapshot { get; init; }

    /// <summary>Makes an image of a kind.</summary>
    public static async Task<CrashImage> MakeAsync(CrashConfiguration configuration, int seed)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            return await MakeAsync(configuration, seed, directory);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>A model of the disk before the workload.</summary>
    public GuestModel MakeModel() => new(Values.Length, i => Values[i]);

    /// <summary>The backing image as a node, where there is one.</summary>
    public MemoryNode? MakeBacking() => Backing is null ? null : new MemoryNode(Backing);

    private static async Task<CrashImage> MakeAsync(CrashConfiguration configuration, int seed, string directory)
    {
        var path = Path.Combine(directory, "disk.qcow2");
        var backing = configuration.BackingSectors == 0 ? null : SectorContent.Make(SectorContent.Backing, 0, configuration.BackingSectors);
        var arguments = new List<string> { "create", "-q", "-f", "qcow2", "-o", configuration.Options };
        if (backing is not null)
        {
            await System.IO.File.WriteAllBytesAsync(Path.Combine(directory, "base.raw"), backing);
            arguments.AddRange(["-b", "base.raw", "-F", "raw"]);
        }

        if (configuration.Create is { } create)
        {
            await using var made = new BlockEdge(
                FileNode.Create(new FileNodeOptions { Path = path }, 0), ChildRole.None, new(Permissions.All, Permissions.All));
            await Qcow2Creator.CreateAsync(made, null, create);
        }
        else
        {
            await ExternalTool.RunAsync("qemu-img", directory, [.. arguments, "disk.qcow2", $"{configuration.Sectors * SectorContent.Size}"]);
        }

        var values = new int[configuration.Sectors];
        values.AsSpan(0, Math.Min(values.Length, configuration.BackingSectors)).Fill(SectorContent.Backing);
        byte[]? snapshot = null;
        if (configuration.HasSnapshot)
        {
            snapshot = await WriteAsync(configuration, new Random(seed), path, backing, values);
            await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-c", "first", "disk.qcow2");
        }

        var file = await System.IO.File.ReadAllBytesAsync(path);
        var data = configuration.HasDataFile ? await System.IO.File.ReadAllBytesAsync(Path.Combine(directory, "data.raw")) : null;
        return new CrashImage(file, data, backing, values) { Snapshot = snapshot };
    }

    /// <summary>Writes here and there what the snapshot is to keep.</summary>
    private static async Task<byte[]> WriteAsync(CrashConfiguration configuration, Random random, string path, byte[]? backing, int[] values)
    {
        var file = FileNode.Open(new FileNodeOptions { Path = path, Cache = CacheMode.Unsafe });
        await using var edge = await Qcow2Images.OpenAsync(file, null, backing is null ? null : new MemoryNode(backing), configuration.OpenOptions);
        for (var i = 0; i < SnapshotWrites; i++)
        {
            var from = random.Next(values.Length);
            var count = random.Next(1, 1 + Math.Min(configuration.SectorsPerCluster * 3, values.Length - from));
            values.AsSpan(from, count).Fill(FirstSnapshotValue + i);
            await edge.WriteAsync((long)from * SectorContent.Size, SectorContent.Make(FirstSnapshotValue + i, from, count));
        }

        return await Qcow2Images.ReadAllAsync(edge);
    }
}
