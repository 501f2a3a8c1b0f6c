using Byre.Cli.Img;

namespace Byre.Tests.Cli;

public sealed class ImgSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("512", 512)]
    [InlineData("1k", 1024)]
    [InlineData("1.5M", 1572864)]
    [InlineData("0x10", 16)]
    [InlineData("1E", 1L << 60)]
    public void Sizes_have_suffixes_and_fractions(string text, long expected) => Assert.Equal(expected, ImgSize.Parse(text, "image size"));

    [Theory]
    [InlineData("")]
    [InlineData("10Q")]
    [InlineData("-5")]
    [InlineData("8E")]
    [InlineData("1kk")]
    public void Other_words_are_refused_with_one_line_that_names_them(string text)
    {
        var failure = Assert.Throws<ImgFailure>(() => ImgSize.Parse(text, "image size"));
        Assert.Contains($"'{text}'", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
        Assert.Equal(1, failure.Status);
    }
}
