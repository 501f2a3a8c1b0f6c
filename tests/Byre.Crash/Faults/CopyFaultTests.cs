using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>A copy into an image in which any request fails is never called a success, unless all of it is there.</summary>
public class CopyFaultTests
{
    private const int Sectors = 1200;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData(12, false, false)]
    [InlineData(16, false, false)]
    [InlineData(14, true, false)]
    [InlineData(12, false, true)]
    [InlineData(16, false, true)]
    public async Task A_copy_of_which_a_part_fails_fails(int clusterBits, bool extended, bool compressed)
    {
        var content = Content();
        var create = new Qcow2CreateOptions { Size = content.Length, ClusterBits = clusterBits, ExtendedL2 = extended };
        foreach (var inSource in new[] { false, true })
        {
            foreach (var count in new[] { 1, long.MaxValue / 2 })
            {
                var hit = true;
                for (var n = 1; hit; n++)
                {
                    var rule = new FaultRule { First = n, Count = count, Kinds = FaultKinds.All, Errno = inSource ? 5 : 28 };
                    hit = await CopyAsync(content, create, compressed, inSource, rule);
                }
            }
        }
    }

    /// <summary>Data, zeroes that are written and zeroes that are not, at and beside the beginnings of clusters.</summary>
    private static byte[] Content()
    {
        var content = SectorContent.Make(1, 0, Sectors);
        foreach (var (first, count) in new[] { (0, 3), (64, 128), (260, 77), (512, 256), (1100, 100) })
        {
            content.AsSpan(first * SectorContent.Size, count * SectorContent.Size).Clear();
        }

        SectorContent.Make(3, 800, 150).CopyTo(content, 800 * SectorContent.Size);
        return content;
    }

    private static BlockEdge Edge(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file");

    private static async Task<bool> CopyAsync(byte[] content, Qcow2CreateOptions create, bool compressed, bool inSource, FaultRule rule)
    {
        var file = new MemoryNode(0);
        await using var keep = new BlockEdge(file, ChildRole.None, PermissionSet.Nothing);
        await using (var edge = Edge(file))
        {
            await Qcow2Creator.CreateAsync(edge, null, create);
        }

        var what = $"{(inSource ? "source" : "target")}, {rule}";
        var options = new FaultOptions { Rules = [rule] };
        var fault = new FaultNode(Edge(inSource ? new MemoryNode(content) : file), options);
        await using var source = Edge(inSource ? fault : new MemoryNode(content));
        var failed = false;
        try
        {
            var target = await Qcow2Images.OpenAsync(inSource ? file : fault, null, null, new Qcow2OpenOptions());
            try
            {
                await new CopyEngine([source], target, new CopyOptions { Compressed = compressed, BufferSize = 64 << 10, Parallel = 2 }).RunAsync();
            }
            finally
            {
                await target.DisposeAsync();
            }
        }
        catch (BlockException)
        {
            failed = true;
        }

        var report = await Qcow2Images.CheckAsync(file);
        Assert.True(Qcow2Images.Problem(report, leaksCount: !failed && fault.Hits == 0) is null, $"{what}: {Qcow2Images.Problem(report)}");
        await using var disk = await Qcow2Images.OpenAsync(file, null, null, new Qcow2OpenOptions { ReadOnly = true });
        var isWhole = (await Qcow2Images.ReadAllAsync(disk)).AsSpan().SequenceEqual(content);
        Assert.True(isWhole || failed, $"{what}: a part is missing and nobody is told");
        Assert.True(fault.Hits > 0 || !failed, $"{what}: failed for no reason");
        return fault.Hits > 0;
    }
}
