using System.Diagnostics;
using Byre.Bitmaps;

namespace Byre.Tests.Bitmaps;

/// <summary>The bitmap in levels says the same as an array of booleans, and says it fast.</summary>
public class HierarchicalBitmapTests
{
    private const int Leaf = 1 << 18;

    public static TheoryData<int, int> Lengths => new()
    {
        { 0, 1 }, { 1, 2 }, { 63, 3 }, { 64, 4 }, { 65, 5 }, { 4_096, 6 }, { 5_000, 7 }, { Leaf, 8 }, { Leaf + 1, 9 }, { (3 * Leaf) + 77, 10 },
    };

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Random_changes_agree_with_a_plain_model(int length, int seed)
    {
        var random = new Random(seed);
        var bitmap = new HierarchicalBitmap(length);
        var model = new bool[length];
        for (var round = 0; round < 60; round++)
        {
            var start = random.Next(length + 1);
            var count = random.Next(3) switch { 0 => random.Next(200), 1 => random.Next(length + 1), _ => length };
            count = Math.Min(count, length - start);
            switch (random.Next(5))
            {
                case 0 or 1:
                    bitmap.Set(start, count);
                    model.AsSpan(start, count).Fill(true);
                    break;
                case 2:
                    bitmap.Clear(start, count);
                    model.AsSpan(start, count).Clear();
                    break;
                case 3:
                    var (other, otherModel) = Scattered(length, random);
                    bitmap.Merge(other);
                    Or(model, otherModel);
                    break;
                default:
                    var (added, addedModel) = Scattered(length, random);
                    var bytes = new byte[(length + 63) / 64 * 8];
                    added.CopyTo(0, bytes);
                    if (random.Next(2) == 0)
                    {
                        bitmap.MergeFrom(0, bytes);
                        Or(model, addedModel);
                    }
                    else
                    {
                        bitmap.CopyFrom(0, bytes);
                        addedModel.CopyTo(model, 0);
                    }

                    break;
            }

            AssertSame(model, bitmap, random, $"length {length}, seed {seed}, round {round}");
        }
    }

    [Theory]
    [InlineData(100, 1_000)]
    [InlineData(1_000, 100)]
    [InlineData(Leaf, Leaf * 2)]
    [InlineData((Leaf * 2) + 5, (Leaf * 2) + 6)]
    [InlineData((Leaf * 2) + 5, Leaf + 70)]
    [InlineData(0, 65)]
    [InlineData(65, 0)]
    public void A_new_length_keeps_what_both_have(int from, int to)
    {
        foreach (var full in new[] { false, true })
        {
            var random = new Random(from + to);
            var (bitmap, model) = Scattered(from, random);
            if (full)
            {
                bitmap.Set(0, from);
                Array.Fill(model, true);
            }

            bitmap.Resize(to);
            Array.Resize(ref model, to);
            Assert.Equal(to, bitmap.Length);
            AssertSame(model, bitmap, random, $"from {from} to {to}, full {full}");
        }
    }

    [Fact]
    public void Bytes_hold_the_first_bit_lowest()
    {
        var bitmap = new HierarchicalBitmap(100);
        bitmap.Set(0, 1);
        bitmap.Set(9, 2);
        bitmap.Set(99, 1);
        var bytes = new byte[24];
        bytes.AsSpan().Fill(0xee);
        bitmap.CopyTo(0, bytes);
        Assert.Equal("01060000000000000000000008000000" + "0000000000000000", Convert.ToHexStringLower(bytes));
        bitmap.Set(0, 100);
        bitmap.CopyTo(64, bytes.AsSpan(0, 16));
        Assert.Equal("ffffffff0f000000" + "0000000000000000", Convert.ToHexStringLower(bytes.AsSpan(0, 16)));
    }

    [Fact]
    public void Stretches_that_are_all_alike_take_no_memory()
    {
        var bitmap = new HierarchicalBitmap(1L << 28); // 16 TiB at 64 KiB
        bitmap.Set(0, bitmap.Length);
        Assert.Equal(0, bitmap.AllocatedLeaves);
        bitmap.Clear(1_000_000, 1);
        Assert.Equal(1, bitmap.AllocatedLeaves);
        bitmap.Set(1_000_000, 1);
        Assert.Equal(0, bitmap.AllocatedLeaves);
        bitmap.Clear(0, bitmap.Length);
        Assert.Equal((0, 0L), (bitmap.AllocatedLeaves, bitmap.Count));
    }

    /// <summary>A 16 TiB disk: at 64 KiB a bit, and at 512 bytes a bit.</summary>
    [Theory]
    [InlineData(1L << 28)]
    [InlineData(1L << 35)]
    public void The_next_area_is_found_in_microseconds_however_far_it_is(long length)
    {
        var bitmap = new HierarchicalBitmap(length);
        bitmap.Set(length - 3, 1);
        var far = BestOf(() => bitmap.NextSet(0), length - 3);
        bitmap.Set(0, length - 3);
        var clear = BestOf(() => bitmap.NextClear(0), length - 2);
        Assert.True(far.TotalMicroseconds < 20 && clear.TotalMicroseconds < 20, $"the next set bit took {far}, the next clear one {clear}");
    }

    [Fact]
    public void Ranges_outside_and_lengths_too_great_are_refused()
    {
        var bitmap = new HierarchicalBitmap(100);
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.Set(90, 11));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.Clear(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap[100]);
        Assert.Throws<ArgumentException>(() => bitmap.CopyTo(1, new byte[8]));
        Assert.Throws<ArgumentException>(() => bitmap.Merge(new HierarchicalBitmap(99)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new HierarchicalBitmap(HierarchicalBitmap.MaxLength + 1));
    }

    private static TimeSpan BestOf(Func<long> search, long expected)
    {
        var best = TimeSpan.MaxValue;
        for (var i = 0; i < 2_000; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var found = search();
            var took = Stopwatch.GetElapsedTime(start);
            Assert.Equal(expected, found);
            best = took < best ? took : best;
        }

        return best;
    }

    private static (HierarchicalBitmap Bitmap, bool[] Model) Scattered(int length, Random random)
    {
        var bitmap = new HierarchicalBitmap(length);
        var model = new bool[length];
        for (var i = 0; i < 12 && length > 0; i++)
        {
            var start = random.Next(length);
            var count = Math.Min(random.Next(i == 0 ? length + 1 : 300), length - start);
            bitmap.Set(start, count);
            model.AsSpan(start, count).Fill(true);
        }

        return (bitmap, model);
    }

    private static void Or(bool[] model, bool[] added)
    {
        for (var i = 0; i < model.Length; i++)
        {
            model[i] |= added[i];
        }
    }

    private static void AssertSame(bool[] model, HierarchicalBitmap bitmap, Random random, string what)
    {
        Assert.True(model.AsSpan().Count(true) == bitmap.Count, $"{what}: {bitmap.Count} bits");
        var bytes = new byte[(model.Length + 63) / 64 * 8];
        bitmap.CopyTo(0, bytes);
        for (var i = 0; i < model.Length; i++)
        {
            if (model[i] != ((bytes[i >> 3] >> (i & 7) & 1) != 0))
            {
                Assert.Fail($"{what}: bit {i}");
            }
        }

        for (var i = 0; i < 30; i++)
        {
            var from = random.Next(model.Length + 1);
            var end = random.Next(from, model.Length + 1);
            var set = model.AsSpan(from, end - from).IndexOf(true);
            var clear = model.AsSpan(from, end - from).IndexOf(false);
            Assert.True((set < 0 ? -1 : from + set) == bitmap.NextSet(from, end), $"{what}: the next set bit in {from} to {end}");
            Assert.True((clear < 0 ? -1 : from + clear) == bitmap.NextClear(from, end), $"{what}: the next clear bit in {from} to {end}");
            Assert.True(from == model.Length || model[from] == bitmap[from], $"{what}: bit {from}");
        }
    }
}
