using Byre.Cli.Img;

namespace Byre.Tests.Cli;

public sealed class ImgArgumentsTests
{
    private static readonly ImgSpec[] Specs =
    [
        new("format", 'f', ImgValue.Required), new("force-share", 'U'), new("quiet", 'q'), new("output", '\0', ImgValue.Required),
        new("progress", 'p', ImgValue.Optional), new("options", 'o', ImgValue.Required),
    ];

    [Theory]
    [InlineData("-f qcow2 a b")]
    [InlineData("a -fqcow2 b")]
    [InlineData("--format=qcow2 a b")]
    [InlineData("a b --format qcow2")]
    [InlineData("-qfqcow2 a -- b")]
    [InlineData("a --form qcow2 b")]
    public void Options_stand_anywhere_in_any_form(string line)
    {
        var arguments = ImgArguments.Parse(line.Split(' '), Specs);
        Assert.Equal("qcow2", arguments.Value("format"));
        Assert.Equal(["a", "b"], arguments.Operands);
    }

    [Fact]
    public void An_optional_value_is_only_taken_behind_an_equals_sign()
    {
        var arguments = ImgArguments.Parse(["--progress=json", "a"], Specs);
        Assert.Equal("json", arguments.Value("progress"));
        arguments = ImgArguments.Parse(["--progress", "json", "-p"], Specs);
        Assert.Null(arguments.Value("progress"));
        Assert.True(arguments.Has("progress"));
        Assert.Equal(["json"], arguments.Operands);
    }

    [Fact]
    public void Values_of_a_repeated_option_are_kept_in_order_and_a_dash_is_an_operand()
    {
        var arguments = ImgArguments.Parse(["-o", "a=1", "-", "-ob=2", "--", "-q"], Specs);
        Assert.Equal(["a=1", "b=2"], arguments.Values("options"));
        Assert.Equal("b=2", arguments.Value("options"));
        Assert.Equal(["-", "-q"], arguments.Operands);
        Assert.False(arguments.Has("quiet"));
    }

    [Theory]
    [InlineData("--fo qcow2")]
    [InlineData("--bogus")]
    [InlineData("-x")]
    [InlineData("a -f")]
    [InlineData("--output")]
    [InlineData("--quiet=yes")]
    public void What_is_unknown_unclear_or_incomplete_is_refused(string line) =>
        Assert.Throws<ImgUsageException>(() => ImgArguments.Parse(line.Split(' '), Specs));
}
