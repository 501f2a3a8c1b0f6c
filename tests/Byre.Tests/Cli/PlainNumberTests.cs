using Byre.Cli.Img;
using Byre.Cli.Serve;

namespace Byre.Tests.Cli;

public sealed class PlainNumberTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("7", 7)]
    [InlineData("010", 8)]
    [InlineData("0x10", 16)]
    [InlineData("0XfF", 255)]
    [InlineData(" +12", 12)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("0777777777777777777777", long.MaxValue)]
    [InlineData("0x7fffffffffffffff", long.MaxValue)]
    public void Numbers_are_read_as_C_programs_read_them(string text, long expected)
    {
        Assert.True(PlainNumber.TryParse(text, out var number));
        Assert.Equal(expected, number);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("+")]
    [InlineData("-1")]
    [InlineData("+-1")]
    [InlineData("08")]
    [InlineData("0x")]
    [InlineData("0xg")]
    [InlineData("0x-1")]
    [InlineData("1k")]
    [InlineData("1 ")]
    [InlineData("1.5")]
    [InlineData("9223372036854775808")]
    [InlineData("01000000000000000000000")]
    [InlineData("0x8000000000000000")]
    public void What_is_no_number(string text) => Assert.False(PlainNumber.TryParse(text, out _));

    [Theory]
    [InlineData("0", 0, 0)]
    [InlineData("080", 0, 80)]
    [InlineData("65535", 1, 65535)]
    public void Ports_are_numbers(string text, int least, int expected) => Assert.Equal(expected, ServicePort.Parse(text, least));

    [Theory]
    [InlineData("0", 1)]
    [InlineData("65536", 0)]
    [InlineData("4294967297", 0)]
    [InlineData("-1", 0)]
    [InlineData("", 0)]
    [InlineData("no-such-service", 0)]
    [InlineData("80x", 0)]
    public void Other_ports_are_refused(string text, int least) =>
        Assert.Contains($"'{text}'", Assert.Throws<ImgFailure>(() => ServicePort.Parse(text, least)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_port_has_the_names_that_the_system_gives_it()
    {
        const string services = "/etc/services";
        if (File.Exists(services) && File.ReadLines(services).FirstOrDefault(l => l.Contains("/tcp", StringComparison.Ordinal) && char.IsAsciiLetter(l[0])) is { } line)
        {
            var words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(words[1], $"{ServicePort.Parse(words[0], 0)}/tcp");
        }
    }
}
