using Byre.Crash.Faults;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// At any moment of a rebase, and wherever it fails, the image reads the same over the backing file that its header names; and
/// when it has returned that is the new one.
/// </summary>
public class RebaseCrashTests
{
    /// <summary>Sectors of the image, of the old backing file and of the new one; 0 for no such file.</summary>
    public static TheoryData<int, int, bool, bool, int, int, int> Kinds => new()
    {
        { 9, 3, false, false, 400, 400, 400 },
        { 12, 3, false, false, 600, 600, 500 },
        { 12, 3, false, true, 600, 500, 600 },
        { 12, 2, false, false, 600, 600, 500 },
        { 14, 3, true, false, 600, 600, 600 },
        { 14, 3, true, true, 600, 600, 300 },
        { 16, 3, false, false, 600, 600, 600 },
        { 12, 3, false, false, 600, 600, 0 },
        { 12, 3, false, false, 600, 0, 600 },
        { 12, 2, false, false, 600, 0, 600 },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task No_crash_of_a_rebase_changes_what_the_image_reads(
        int clusterBits, int version, bool extended, bool compressed, int sectors, int oldSectors, int newSectors)
    {
        var (starts, expected) = await MakeAsync(clusterBits, version, extended, sectors, oldSectors, newSectors);
        var crash = await JobCrash.RunAsync(starts, files => RebaseAsync(files, compressed, clusterBits));
        await crash.InspectAsync(60, seed: clusterBits, (files, isDone, what) => InspectAsync(files, isDone, what, expected));
    }

    [Theory]
    [InlineData(9, 3, false, false, 220)]
    [InlineData(12, 2, false, false, 200)]
    [InlineData(12, 3, false, true, 200)]
    [InlineData(14, 3, true, false, 200)]
    public async Task A_rebase_of_which_a_part_fails_changes_nothing_that_is_read(int clusterBits, int version, bool extended, bool compressed, int sectors)
    {
        var (starts, expected) = await MakeAsync(clusterBits, version, extended, sectors, sectors, sectors - 50);
        var failures = 0;
        await JobFaults.RunAsync(starts, files => RebaseAsync(files, compressed, clusterBits), async (files, failed, what) =>
        {
            failures += failed ? 1 : 0;
            await InspectAsync(files, !failed, what, expected);
        });
        Assert.True(failures > 15, $"{failures} failures");
    }

    private static async Task<(byte[][] Starts, byte[] Expected)> MakeAsync(
        int clusterBits, int version, bool extended, int sectors, int oldSectors, int newSectors)
    {
        var options = new Qcow2CreateOptions { Size = sectors * 512L, ClusterBits = clusterBits, Version = version, ExtendedL2 = extended };
        var old = oldSectors == 0 ? [] : SectorContent.Make(1, 0, oldSectors);
        var next = newSectors == 0 ? [] : SectorContent.Make(1, 0, newSectors);
        foreach (var (disk, first) in new[] { (old, 40), (next, 90) })
        {
            if (disk.Length > 0)
            {
                disk.AsSpan(first * 512, 60 * 512).Clear();
                SectorContent.Make(first, first + 20, 5).CopyTo(disk, (first + 20) * 512);
            }
        }

        var image = await ChainImages.CreateAsync(
            oldSectors == 0 ? options : options with { BackingFile = "old", BackingFormat = "raw" });
        var backing = oldSectors == 0 ? null : new MemoryNode((byte[])old.Clone());
        image = await ChainImages.FillAsync(image, backing, 2, seed: 3, longest: 20);
        var expected = oldSectors == 0 ? await ChainImages.ReadChainAsync("before", image) : await ChainImages.ReadChainAsync("before", image, old);
        return ([image, old, next], expected);
    }

    private static async Task RebaseAsync(BlockNode[] files, bool compressed, int clusterBits)
    {
        var edges = new List<BlockEdge>();
        try
        {
            edges.Add(await ChainImages.OpenAsync(files[1], null, readOnly: true));
            edges.Add(await ChainImages.OpenAsync(files[2], null, readOnly: true));
            edges.Add(await Qcow2Images.OpenAsync(files[0], null, files[1].Length > 0 ? edges[0].Node : null, new()));
            var hasNext = files[2].Length > 0;
            var options = new CopyOptions { BufferSize = 64 << 10, Parallel = 2, Compressed = compressed, CompressionUnit = 1 << clusterBits };
            await new RebaseJob(edges[2], hasNext ? edges[1] : null, options)
            {
                BackingFileName = hasNext ? "new" : null,
                BackingFormat = hasNext ? "raw" : null,
            }.RunAsync();
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

    private static async Task InspectAsync(byte[][] files, bool isDone, string what, byte[] expected)
    {
        var named = Qcow2Header.Parse(files[0].AsSpan(0, Math.Min(files[0].Length, 2 << 20)), "the image").BackingFile;
        var next = files[2].Length > 0 ? "new" : null;
        Assert.True(named == next || (!isDone && named == (files[1].Length > 0 ? "old" : null)), $"{what}: the backing file is '{named}'");
        var content = named switch
        {
            null => await ChainImages.ReadChainAsync(what, files[0]),
            "old" => await ChainImages.ReadChainAsync(what, files[0], files[1]),
            _ => await ChainImages.ReadChainAsync(what, files[0], files[2]),
        };
        var same = content.AsSpan().CommonPrefixLength(expected);
        Assert.True(same == expected.Length, $"{what}: byte {same} differs over '{named}'");
    }
}
