using Byre.Formats.Qcow2.Manage;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>A commit in which any request fails leaves a chain that reads the same, and is a success only if the base has it all.</summary>
public class CommitFaultTests
{
    [Theory]
    [InlineData(9, true)]
    [InlineData(12, true)]
    [InlineData(12, false)]
    public async Task A_commit_of_which_a_part_fails_changes_nothing_that_is_read(int clusterBits, bool qcow2Base)
    {
        var options = new Qcow2CreateOptions { Size = 200 * 512, ClusterBits = clusterBits, BackingFile = "base", BackingFormat = "raw" };
        var bottom = qcow2Base
            ? await ChainImages.FillAsync(await ChainImages.CreateAsync(options with { BackingFile = null, BackingFormat = null }), null, 1, seed: 1)
            : SectorContent.Make(1, 0, 200);
        var below = await ChainImages.OpenAsync(new MemoryNode((byte[])bottom.Clone()), null, readOnly: true);
        var top = await ChainImages.FillAsync(await ChainImages.CreateAsync(options), below.Node, 2, seed: 2);
        await below.DisposeAsync();
        var expected = await ChainImages.ReadChainAsync("before", top, bottom);
        var failures = 0;
        await JobFaults.RunAsync([top, bottom], CommitAsync, async (files, failed, what) =>
        {
            Assert.Equal(expected, await ChainImages.ReadChainAsync(what, files[0], files[1]));
            failures += failed ? 1 : 0;
            if (!failed)
            {
                Assert.Equal(expected, await ChainImages.ReadChainAsync(what, files[1]));
            }
        });
        Assert.True(failures > 20, $"{failures} failures");
    }

    private static async Task CommitAsync(BlockNode[] files)
    {
        var edges = new List<BlockEdge>();
        try
        {
            edges.Add(await ChainImages.OpenAsync(files[1], null, readOnly: false));
            edges.Add(await Qcow2Images.OpenAsync(files[0], null, edges[0].Node, new()));
            await new CommitJob(edges[1], edges[0], new CopyOptions { BufferSize = 64 << 10, Parallel = 2 }) { EmptiesTop = true }.RunAsync();
        }
        finally
        {
            edges.Reverse();
            foreach (var edge in edges)
            {
                await edge.DisposeAsync();
            }
        }
    }
}
