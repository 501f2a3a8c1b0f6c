using System.Diagnostics;
using System.Globalization;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Fuzz;

/// <summary>
/// Damaged images are opened, read, written, checked and repaired: whatever they say, the answer is a result or a
/// BlockException, in bounded time and memory. BYRE_FUZZ_SECONDS runs each test that long, with ever new seeds.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class Qcow2FuzzTests(FuzzSeeds seeds) : IClassFixture<FuzzSeeds>
{
    private const long MemoryLimit = 512L << 20;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(20);
    private static readonly double Seconds =
        double.TryParse(Environment.GetEnvironmentVariable("BYRE_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out var s) ? s : 0;

    [Fact]
    public Task Headers_are_parsed_or_refused() => RunAsync(15_000, (image, random) =>
    {
        var header = Qcow2Header.Parse(image.AsSpan(0, Math.Min(image.Length, 64 << 10)), "damaged.qcow2");
        Assert.Equal(header.Size, Qcow2Header.Parse(header.ToBytes(), "written.qcow2").Size);
        return Task.CompletedTask;
    });

    [Fact]
    public Task Images_are_read_or_refused() => RunAsync(500, async (image, random) =>
    {
        await using var edge = await Qcow2Images.OpenAsync(
            new MemoryNode(image), null, null, new Qcow2OpenOptions { ReadOnly = true, ForCheck = random.Next(2) == 0 });
        await TryAsync(async () => await ((IPersistentBitmaps)edge.Node).ListBitmapsAsync());
        var extents = new ExtentList();
        for (var i = 0; i < 12 && edge.Length > 0; i++)
        {
            var offset = i == 0 ? 0 : Math.Min(edge.Length - 1, random.NextInt64(random.Next(2) == 0 ? 204_800 : edge.Length));
            var length = (int)Math.Min(edge.Length - offset, i == 0 ? 204_800 : random.Next(1, 100_000));
            await TryAsync(() => edge.ReadAsync(offset, new byte[length]));
            extents.Reset(offset, Math.Min(edge.Length - offset, 1 << 20), 1000);
            await TryAsync(() => edge.GetExtentsAsync(extents, (ExtentPrecision)random.Next(2)));
        }
    });

    [Fact]
    public Task Images_are_written_or_refused() => RunAsync(400, async (image, random) =>
    {
        await using var edge = await Qcow2Images.OpenAsync(new MemoryNode(image), null, null, new Qcow2OpenOptions());
        for (var i = 0; i < 12 && edge.Length > 0; i++)
        {
            var offset = Math.Min(edge.Length - 1, random.NextInt64(random.Next(5) != 0 ? 204_800 : edge.Length));
            var length = (int)Math.Min(edge.Length - offset, random.Next(1, 40_000));
            var bitmaps = (IPersistentBitmaps)edge.Node;
            await TryAsync(() => random.Next(10) switch
            {
                6 => AddAsync(bitmaps, $"bitmap {i}"),
                7 => bitmaps.RemoveBitmapAsync("bits"),
                8 => bitmaps.ClearBitmapAsync("bits"),
                9 => bitmaps.EnableBitmapAsync("bits", random.Next(2) == 0),
                0 => edge.WriteZeroesAsync(offset, length, WriteFlags.MayUnmap),
                1 => edge.DiscardAsync(offset, length),
                2 => edge.FlushAsync(),
                _ => edge.WriteAsync(offset, new byte[length]),
            });
        }
    });

    [Fact]
    public Task Images_are_checked_or_refused() => RunAsync(400, async (image, _) => await Qcow2Images.CheckAsync(new MemoryNode(image)));

    [Fact]
    public Task A_repair_that_says_that_all_is_well_is_right() => RunAsync(400, async (image, _) =>
    {
        var node = new MemoryNode(image);
        await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
        var report = await Qcow2Images.CheckAsync(node, RepairMode.All);
        if (Qcow2Images.Problem(report, leaksCount: true) is null)
        {
            var again = await Qcow2Images.CheckAsync(node);
            Assert.Null(Qcow2Images.Problem(again, leaksCount: true));
        }
    });

    [Fact]
    public async Task Undamaged_images_pass_all_of_it()
    {
        foreach (var (name, image) in seeds.Images)
        {
            Assert.Null(Qcow2Images.Problem(await Qcow2Images.CheckAsync(new MemoryNode(image)), leaksCount: true));
            await using var edge = await Qcow2Images.OpenAsync(new MemoryNode(image), null, null, new Qcow2OpenOptions());
            var content = await Qcow2Images.ReadAllAsync(edge);
            Assert.True(content.AsSpan(64 << 10, 2048).IndexOfAnyExcept((byte)2) < 0, name);
            Assert.True(content.AsSpan(180 << 10).IndexOfAnyExcept((byte)3) < 0, name);
        }
    }

    private static async ValueTask AddAsync(IPersistentBitmaps bitmaps, string name) => await bitmaps.AddBitmapAsync(name, 0, isEnabled: true);

    private static async Task TryAsync(Func<ValueTask> request)
    {
        try
        {
            await request();
        }
        catch (BlockException)
        {
            // refused: that is an answer
        }
    }

    private async Task RunAsync(int count, Func<byte[], Random, Task> use)
    {
        var watch = Stopwatch.StartNew();
        for (var seed = 0; seed < count || watch.Elapsed.TotalSeconds < Seconds; seed++)
        {
            if (Seconds == 0 && watch.Elapsed.TotalSeconds > 20)
            {
                break; // a busy machine: the rest another time
            }

            var random = new Random(seed);
            var (name, original) = seeds.Images[random.Next(seeds.Images.Count)];
            var image = new Qcow2Mutator(random).Mutate(original);
            var before = GC.GetTotalAllocatedBytes();
            try
            {
                await Task.Run(() => use(image, random)).WaitAsync(TimeLimit);
            }
            catch (BlockException e)
            {
                Assert.False(e.Message.Contains('\n', StringComparison.Ordinal), $"seed {seed} ({name}): the message has several lines: {e.Message}");
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed} ({name}): {e}");
            }

            var allocated = GC.GetTotalAllocatedBytes() - before;
            Assert.True(allocated < MemoryLimit, $"seed {seed} ({name}): {allocated >> 20} MiB were allocated");
        }
    }
}
