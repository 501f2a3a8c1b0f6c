using Byre.Crash.Faults;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>At any moment of a change of options, and wherever it fails, the image reads the same and a check finds leaks at most.</summary>
public class AmendCrashTests
{
    private const int Sectors = 500;

    public static TheoryData<int, int, int, bool, Qcow2AmendOptions> Kinds => new()
    {
        { 9, 3, 16, false, new() { RefcountBits = 64 } },
        { 9, 3, 64, true, new() { RefcountBits = 1 } },
        { 12, 3, 16, false, new() { RefcountBits = 8, LazyRefcounts = true } },
        { 12, 2, 16, true, new() { Version = 3, RefcountBits = 32, LazyRefcounts = true } },
        { 12, 3, 16, true, new() { Version = 2 } },
        { 12, 3, 16, false, new() { Version = 2 } },
        { 9, 3, 1, true, new() { Version = 2, RefcountBits = 16 } },
        { 16, 3, 16, true, new() { Version = 2 } },
        { 12, 2, 16, false, new() { Version = 3 } },
        { 12, 3, 16, false, new() { LazyRefcounts = true } },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task No_crash_of_an_amendment_changes_what_is_read(int clusterBits, int version, int refcountBits, bool isBacked, Qcow2AmendOptions options)
    {
        var (starts, expected) = await MakeAsync(clusterBits, version, refcountBits, isBacked, Sectors);
        var crash = await JobCrash.RunAsync(starts, files => AmendAsync(files, options), WriteAsync);
        await crash.InspectAsync(60, seed: clusterBits, (files, isDone, what) => InspectAsync(files, isDone, what, expected, options));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task An_amendment_of_which_a_part_fails_changes_nothing_that_is_read(
        int clusterBits, int version, int refcountBits, bool isBacked, Qcow2AmendOptions options)
    {
        var (starts, expected) = await MakeAsync(clusterBits, version, refcountBits, isBacked, 100);
        await JobFaults.RunAsync(starts, files => AmendAsync(files, options), (files, failed, what) => InspectAsync(files, !failed, what, expected, options));
    }

    private static async Task<(byte[][] Starts, byte[] Expected)> MakeAsync(int clusterBits, int version, int refcountBits, bool isBacked, int sectors)
    {
        var image = await ChainImages.CreateAsync(new Qcow2CreateOptions
        {
            Size = sectors * 512L,
            ClusterBits = clusterBits,
            Version = version,
            RefcountBits = refcountBits,
            BackingFile = isBacked ? "base" : null,
            BackingFormat = isBacked ? "raw" : null,
        });
        var below = isBacked ? SectorContent.Make(1, 0, sectors - 50) : [];
        image = await ChainImages.FillAsync(image, isBacked ? new MemoryNode((byte[])below.Clone()) : null, 2, seed: 4);
        return ([image, below], await ReadAsync("before", [image, below]));
    }

    private static Task<byte[]> ReadAsync(string what, byte[][] files) =>
        files[1].Length == 0 ? ChainImages.ReadChainAsync(what, files[0]) : ChainImages.ReadChainAsync(what, files[0], files[1]);

    private static async Task AmendAsync(BlockNode[] files, Qcow2AmendOptions options)
    {
        var edge = await Qcow2Images.OpenAsync(files[0], null, files[1].Length == 0 ? null : files[1], new());
        try
        {
            await ((Qcow2Node)edge.Node).AmendAsync(options);
        }
        finally
        {
            await edge.DisposeAsync();
        }
    }

    /// <summary>Writes the same again to the image as it is now, to clusters that the amendment freed.</summary>
    private static async Task WriteAsync(BlockNode[] files)
    {
        await using var edge = await Qcow2Images.OpenAsync(files[0], null, files[1].Length == 0 ? null : files[1], new());
        var content = await Qcow2Images.ReadAllAsync(edge);
        for (var at = 0; at < content.Length; at += 5 * 512)
        {
            await edge.WriteAsync(at, content.AsMemory(at, Math.Min(3 * 512, content.Length - at)));
        }
    }

    private static async Task InspectAsync(byte[][] files, bool isDone, string what, byte[] expected, Qcow2AmendOptions options)
    {
        var header = Qcow2Header.Parse(files[0].AsSpan(0, Math.Min(files[0].Length, 2 << 20)), "the image");
        if (isDone)
        {
            Assert.Equal(options.Version ?? header.Version, header.Version);
            Assert.Equal(options.RefcountBits ?? header.RefcountBits, header.RefcountBits);
            Assert.Equal(options.LazyRefcounts ?? false, (header.Compatible & CompatibleFeatures.LazyRefcounts) != 0);
        }

        var content = await ReadAsync(what, files);
        var same = content.AsSpan().CommonPrefixLength(expected);
        Assert.True(same == expected.Length, $"{what}: byte {same} differs");
    }
}
