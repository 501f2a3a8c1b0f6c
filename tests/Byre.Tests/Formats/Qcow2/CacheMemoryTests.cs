using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Measures the memory of the whole process, so nothing else runs meanwhile.</summary>
[Collection(nameof(Alone))]
public class CacheMemoryTests
{
    private const long Least = 120L << 20;
    private const long Most = 128L << 20;

    [Fact]
    public async Task The_default_cache_with_all_it_takes_is_at_most_128_MiB()
    {
        var options = new Qcow2OpenOptions();
        var limit = (int)(options.L2CacheBytes / 4096);
        var used = await MeasureAsync(limit);
        for (var again = 0; again < 5 && used is < Least or > Most; again++)
        {
            used = await MeasureAsync(limit); // what earlier tests have left behind comes and goes as well
        }

        Assert.InRange(used, Least, Most);
        Assert.InRange(options.L2CacheBytes, (128L << 20) * 96 / 100, 128L << 20); // of the tables of 1 TiB at 64 KiB
    }

    private static async Task<long> MeasureAsync(int limit)
    {
        await using var file = new BlockEdge(new NullNode(1L << 40), ChildRole.Metadata, TestImage.All, "file");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var cache = new SliceCache(file, new Lock(), 4096, limit);
        for (var i = 0L; i < limit + 100; i++)
        {
            await cache.GetAsync(i * 4096);
        }

        Assert.Equal(limit, cache.Count);
        var used = GC.GetTotalMemory(forceFullCollection: true) - before;
        GC.KeepAlive(cache);
        return used;
    }

    [CollectionDefinition(nameof(Alone), DisableParallelization = true)]
    public class Alone;
}
