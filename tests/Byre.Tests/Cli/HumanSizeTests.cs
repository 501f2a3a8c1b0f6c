using System.Globalization;
using System.Numerics;
using Byre.Cli.Img;

namespace Byre.Tests.Cli;

public sealed class HumanSizeTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(512, "512 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "0.977 KiB")]
    [InlineData(1535, "1.5 KiB")]
    [InlineData(197120, "192 KiB")]
    [InlineData(200704, "196 KiB")]
    [InlineData(1572864, "1.5 MiB")]
    [InlineData(2297856, "2.19 MiB")]
    [InlineData(10485760, "10 MiB")]
    [InlineData(1023948, "1e+03 KiB")]
    [InlineData(123456789, "118 MiB")]
    [InlineData(1L << 50, "1 PiB")]
    [InlineData(long.MaxValue, "8 EiB")]
    public void Sizes_have_three_digits_and_a_unit(long bytes, string expected) => Assert.Equal(expected, HumanSize.Of(bytes));

    [Fact]
    public void Every_size_is_rounded_exactly()
    {
        var random = new Random(20);
        for (var i = 0; i < 20_000; i++)
        {
            // Around powers and halves, where rounding errs.
            var bits = random.Next(63);
            var bytes = (random.NextInt64() & ((1L << bits) - 1)) | (1L << bits);
            bytes = random.Next(3) switch { 0 => bytes, 1 => bytes >> 8 << 8, _ => Math.Max(0, ((bytes >> 20 << 20) + (1 << 19)) & long.MaxValue) };
            Assert.Equal(Exactly(bytes), HumanSize.Of(bytes));
        }
    }

    private static string Exactly(long bytes)
    {
        var unit = 0;
        while (unit < 6 && bytes >= (BigInteger)1000 << (10 * unit))
        {
            unit++;
        }

        var whole = bytes >> (10 * unit);
        var decimals = whole >= 100 || unit == 0 ? 0 : whole >= 10 ? 1 : whole >= 1 ? 2 : 3;
        var twice = 2 * (BigInteger)bytes * BigInteger.Pow(10, decimals);
        var one = BigInteger.One << (10 * unit);
        var digits = (twice + one) / (2 * one);
        if ((twice + one) % (2 * one) == 0 && !digits.IsEven)
        {
            digits--; // halves to even
        }

        var number = (decimal)digits / (decimal)BigInteger.Pow(10, decimals);
        var text = number >= 1000 ? "1e+03" : number.ToString("0.###", CultureInfo.InvariantCulture);
        return unit == 0 ? $"{text} B" : $"{text} {"KMGTPE"[unit - 1]}iB";
    }
}
