using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// A crash at any moment of a resize leaves a disk of the old length with all its data, or one of the new length that is the
/// same as far as both go and zero behind it; a check finds leaks at most.
/// </summary>
public class Qcow2ResizeCrashTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData("cluster_size=512,refcount_bits=64", 1_000, 100, Preallocation.Off, 0)]
    [InlineData("cluster_size=4k", 4_000, 300, Preallocation.Off, 0)]
    [InlineData("cluster_size=4k,compat=0.10", 4_000, 301, Preallocation.Off, 0)]
    [InlineData("cluster_size=16k,extended_l2=on", 4_000, 1_000, Preallocation.Off, 5_000)]
    [InlineData("cluster_size=4k,lazy_refcounts=on", 4_000, 300, Preallocation.Off, 0)]
    [InlineData("cluster_size=512,refcount_bits=64", 100, 1_000, Preallocation.Metadata, 0)]
    [InlineData("cluster_size=512", 100, 1_000, Preallocation.Full, 0)]
    [InlineData("cluster_size=4k", 300, 4_000, Preallocation.Falloc, 0)]
    [InlineData("cluster_size=512", 1_000, 9_000, Preallocation.Off, 5_000)]
    [InlineData("cluster_size=4k,compat=0.10", 300, 2_000, Preallocation.Off, 1_000)]
    public async Task No_crash_of_a_resize_loses_data_or_corrupts(string options, int from, int to, Preallocation preallocation, int backingSectors)
    {
        var directory = Directory.CreateTempSubdirectory("byre-crash").FullName;
        try
        {
            await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", $"{from * 512}");
            var backing = backingSectors == 0 ? null : SectorContent.Make(SectorContent.Backing, 0, backingSectors);
            var start = await FillAsync(await File.ReadAllBytesAsync(Path.Combine(directory, "disk.qcow2")), backing, from);
            var log = new WriteLogNode(new BlockEdge(new MemoryNode((byte[])start.Clone()), ChildRole.Filtered | ChildRole.Primary, Everything, "file"));
            var edge = await OpenAsync(log, backing, readOnly: false);
            await edge.ResizeAsync(to * 512L, preallocation);
            var resized = log.Clock.Now;
            await edge.WriteAsync(0, SectorContent.Make(2, 0, 60)); // takes again what the resize freed
            await edge.WriteAsync((Math.Min(from, to) - 20) * 512L, SectorContent.Make(2, Math.Min(from, to) - 20, 20));
            await edge.FlushAsync();
            var file = new CrashFile(start, log.Entries);
            var ticks = log.Entries.Where(e => e.IsChange || e.Kind == WriteLogKind.Flush).Select(e => e.Began).Append(log.Clock.Now + 1).ToArray();
            var random = new Random(1);
            var step = Math.Max(1, ticks.Length / 120);
            for (var i = 0; i < ticks.Length; i += step)
            {
                await InspectAsync(file.Prefix(ticks[i]), backing, from, to, ticks[i] > resized, $"prefix up to tick {ticks[i]}");
            }

            for (var i = 0; i < 120; i++)
            {
                var tick = ticks[random.Next(ticks.Length)];
                await InspectAsync(file.Reordered(tick, random), backing, from, to, tick > resized, $"reordering {i} at tick {tick}");
            }

            await edge.DisposeAsync();
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Writes all sectors but some, in an order that scatters them.</summary>
    private static async Task<byte[]> FillAsync(byte[] image, byte[]? backing, int sectors)
    {
        var node = new MemoryNode(image);
        using var keep = new KeptNode(node);
        var edge = await OpenAsync(node, backing, readOnly: false);
        var random = new Random(2);
        foreach (var at in Enumerable.Range(0, (sectors + 15) / 16).OrderBy(_ => random.Next()))
        {
            var count = Math.Min(16, sectors - (at * 16));
            await edge.WriteAsync(at * 16 * 512L, SectorContent.Make(1, at * 16, count));
        }

        await edge.DisposeAsync();
        var bytes = new byte[node.Length];
        await node.ReadAsync(0, bytes);
        return bytes;
    }

    private static async Task InspectAsync(byte[] image, byte[]? backing, int from, int to, bool isResized, string what)
    {
        var node = new MemoryNode(image);
        using var keep = new KeptNode(node);
        if ((image[79] & 1) != 0 && image[7] == 3)
        {
            var report = await Qcow2Images.CheckAsync(node, RepairMode.All); // lazy refcounts
            Assert.True(report is { Corruptions: 0, CheckErrors: 0, Aborted: null }, $"{what}: the repair left {string.Join("; ", report.Findings.Take(5))}");
        }

        var problem = Qcow2Images.Problem(await Qcow2Images.CheckAsync(node));
        Assert.True(problem is null, $"{what}: {problem}");
        var edge = await OpenAsync(node, backing, readOnly: true);
        var sectors = (int)(edge.Length / 512);
        Assert.True(isResized ? sectors == to : sectors == from || sectors == to, $"{what}: {sectors} sectors");
        var content = await Qcow2Images.ReadAllAsync(edge);
        await edge.DisposeAsync();
        for (var i = 0; i < sectors; i++)
        {
            var sector = content.AsSpan(i * 512, 512);
            var isWritten = i < 60 || (i >= Math.Min(from, to) - 20 && i < Math.Min(from, to));
            var isRight = sector.SequenceEqual(SectorContent.Make(i < from ? 1 : SectorContent.Zero, i, 1))
                || (isWritten && sector.SequenceEqual(SectorContent.Make(2, i, 1)));
            Assert.True(isRight, $"{what}: sector {i} of {sectors} is wrong");
        }
    }

    private static async Task<BlockEdge> OpenAsync(BlockNode file, byte[]? backing, bool readOnly) =>
        await Qcow2Images.OpenAsync(file, null, backing is null ? null : new MemoryNode(backing), new Qcow2OpenOptions { ReadOnly = readOnly });
}
