using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What one question about a whole image says is what a question for each cluster says.</summary>
public class ExtentAnswerTests
{
    [Theory]
    [InlineData("cluster_size=16k", 16384, 1)]
    [InlineData("cluster_size=16k", 16384, 2)]
    [InlineData("cluster_size=64k", 65536, 3)]
    [InlineData("cluster_size=64k,extended_l2=on", 8192, 4)]
    [InlineData("cluster_size=512", 8192, 5)]
    public async Task Scattered_data_with_holes_in_the_file_are_told_in_one_walk_as_one_by_one(string options, int piece, int seed)
    {
        const int Pieces = 300;
        var random = new Random(seed);
        var file = TestImage.Create(Pieces * piece, options);
        await using var image = await TestImage.OpenAsync(file);
        var order = Enumerable.Range(0, Pieces).ToArray();
        random.Shuffle(order);
        foreach (var i in order[..(Pieces * 2 / 3)])
        {
            await image.WriteAsync(i * piece, TestImage.Bytes(piece, i));
            if (random.Next(8) == 0)
            {
                await image.WriteZeroesAsync(i * piece, piece, WriteFlags.None);
            }
        }

        await image.FlushAsync();
        await MakeHolesAsync(image, file, random);
        foreach (var precision in new[] { ExtentPrecision.Exact, ExtentPrecision.Layer })
        {
            var whole = await AskAsync(image, 0, Pieces * piece, precision, int.MaxValue);
            var few = await AskAsync(image, 0, Pieces * piece, precision, 3);
            var single = new List<BlockExtent>();
            for (var at = 0; at < Pieces * piece; at += 512)
            {
                single.AddRange(await AskAsync(image, at, 512, precision, int.MaxValue));
            }

            Assert.Equal(Sectors(single), Sectors(whole));
            Assert.Equal(Sectors(single), Sectors(few));
            Assert.Contains(whole, e => e.State == ExtentState.Absent);
            Assert.Equal(precision == ExtentPrecision.Exact, whole.Any(e => e is { State: ExtentState.Zero, IsHole: true, HostOffset: > 0 }));
        }
    }

    /// <summary>Frees some of the file's space below clusters of data.</summary>
    private static async Task MakeHolesAsync(BlockEdge image, MemoryNode file, Random random)
    {
        const int Unit = 64 << 10; // what a disk in memory keeps as one piece
        var units = (await AskAsync(image, 0, image.Length, ExtentPrecision.Layer, int.MaxValue))
            .Where(e => e.State == ExtentState.Data).SelectMany(e => new[] { e.HostOffset / Unit, (e.HostOffset + e.Length - 1) / Unit })
            .Distinct().Where(u => u > 5).ToList();
        foreach (var unit in units.Where(_ => random.Next(3) == 0))
        {
            await file.DiscardAsync(unit * Unit, Unit);
        }
    }

    private static async Task<List<BlockExtent>> AskAsync(BlockEdge image, long offset, long length, ExtentPrecision precision, int limit)
    {
        var result = new List<BlockExtent>();
        var extents = new ExtentList();
        for (var at = offset; at < offset + length; at = extents.End)
        {
            extents.Reset(at, offset + length - at, limit);
            await image.GetExtentsAsync(extents, precision);
            Assert.InRange(extents.Count, 1, limit);
            result.AddRange(extents.Items.ToArray());
        }

        return result;
    }

    private static List<string> Sectors(List<BlockExtent> extents) => [.. extents.SelectMany(e =>
        Enumerable.Range(0, (int)(e.Length / 512)).Select(i =>
            $"{e.Start + (i * 512)} {e.State} {e.Flags} {(e.HostOffset < 0 ? -1 : e.HostOffset + (i * 512))} {e.Depth}"))];
}
