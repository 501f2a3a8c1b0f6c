using Byre.Formats.Qcow2.Manage;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>A crash at any moment of a commit leaves a chain that reads the same; once it has returned the base has it all.</summary>
public class CommitCrashTests
{
    private const int Sectors = 600;

    [Theory]
    [InlineData(9, 3, false, true, 600)]
    [InlineData(9, 2, false, false, 600)]
    [InlineData(12, 3, false, true, 500)]
    [InlineData(12, 2, false, true, 600)]
    [InlineData(12, 3, false, false, 400)]
    [InlineData(14, 3, true, true, 600)]
    [InlineData(16, 3, false, true, 600)]
    [InlineData(16, 3, false, false, 600)]
    public async Task No_crash_of_a_commit_changes_what_the_chain_reads(int clusterBits, int version, bool extended, bool qcow2Base, int baseSectors)
    {
        var options = new Qcow2CreateOptions
        {
            Size = Sectors * 512L, ClusterBits = clusterBits, Version = version, ExtendedL2 = extended, BackingFile = "base", BackingFormat = "raw",
        };
        var bottom = qcow2Base
            ? await ChainImages.FillAsync(
                await ChainImages.CreateAsync(options with { Size = baseSectors * 512L, BackingFile = null, BackingFormat = null }), null, 1, seed: 1)
            : SectorContent.Make(1, 0, baseSectors);
        var below = await ChainImages.OpenAsync(new MemoryNode((byte[])bottom.Clone()), null, readOnly: true);
        var top = await ChainImages.FillAsync(await ChainImages.CreateAsync(options), below.Node, 2, seed: 2);
        await below.DisposeAsync();
        var expected = await ChainImages.ReadChainAsync("before", top, bottom);

        var crash = await JobCrash.RunAsync([top, bottom], CommitAsync);
        await crash.InspectAsync(60, seed: clusterBits, async (files, isDone, what) =>
        {
            Same(expected, await ChainImages.ReadChainAsync(what, files[0], files[1]), what);
            if (isDone)
            {
                Same(expected, await ChainImages.ReadChainAsync(what, files[1]), what + ", the base");
                Assert.True(files[0].Length <= 6 << clusterBits, $"{what}: the emptied image has {files[0].Length} bytes");
            }
        });
    }

    private static async Task CommitAsync(BlockNode[] files)
    {
        await using var below = await ChainImages.OpenAsync(files[1], null, readOnly: false);
        await using var top = await Qcow2Images.OpenAsync(files[0], null, below.Node, new());
        await new CommitJob(top, below, new CopyOptions { BufferSize = 64 << 10, Parallel = 2 }) { EmptiesTop = true }.RunAsync();
    }

    private static void Same(byte[] expected, byte[] content, string what)
    {
        var same = content.AsSpan().CommonPrefixLength(expected);
        Assert.True(same == expected.Length && content.Length == expected.Length, $"{what}: byte {same} of {expected.Length} differs ({content.Length})");
    }
}
