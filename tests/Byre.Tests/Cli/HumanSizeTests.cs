using Byre.Cli.Img;

namespace Byre.Tests.Cli;

public sealed class HumanSizeTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(512, "512 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "0.977 KiB")]
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
}
