using Byre.Blockdev;
using Byre.Nodes;
using Xunit;

namespace Byre.Tests.Blockdev;

public sealed class OptionTreeTests
{
    [Theory]
    [InlineData("driver=raw,file.filename=a", "driver=raw;file.filename=a")]
    [InlineData("file.filename=a,,b,size=1", "file.filename=a,b;size=1")]
    [InlineData("a=1,,,b=2", "a=1,;b=2")]
    [InlineData("a=x=y", "a=x=y")]
    [InlineData("lazy", "lazy=on")]
    [InlineData("backing=", "backing=")]
    [InlineData("", "")]
    public void A_list_has_keys_and_values_and_doubled_commas(string list, string expected)
    {
        var options = new Dictionary<string, string>();
        OptionTree.AddList(options, list);
        Assert.Equal(expected, Show(options));
    }

    [Theory]
    [InlineData("{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"a'b\"}}", "driver=raw;file.driver=file;file.filename=a'b")]
    [InlineData("{'driver':'raw','file.filename':'a\"b','x':\"it's\"}", "driver=raw;file.filename=a\"b;x=it's")]
    [InlineData("{\"a\":[{\"b\":1},{\"b\":-2}],\"t\":true,\"f\":false}", "a.0.b=1;a.1.b=-2;f=off;t=on")]
    [InlineData("{\"backing\":null}", "backing=")]
    [InlineData("{'a':'\\'\\\\'}", "a='\\")]
    [InlineData("{}", "")]
    public void Json_becomes_dotted_keys(string json, string expected)
    {
        var options = new Dictionary<string, string>();
        OptionTree.AddJson(options, json);
        Assert.Equal(expected, Show(options));
    }

    [Fact]
    public void What_is_no_text_in_json_is_told_apart()
    {
        var options = new Dictionary<string, string>();
        var values = new Dictionary<string, string> { ["text"] = "5", ["kept"] = "1" };
        OptionTree.AddJson(options, "{'a':{'n':1024,'m':1.5e3,'x':1.5},'t':true,'f':false,'z':null,'text':'7','l':[1,'2']}", values);
        Assert.Equal("a.m=1500;a.n=1024;a.x=1.5;f=off;l.0=1;l.1=2;t=on;text=7;z=", Show(options));
        Assert.Equal("a.m=1500;a.n=1024;a.x=1.5;f=false;kept=1;l.0=1;t=true;z=null", Show(values));
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{'a':")]
    [InlineData("{\"a\":1,\"a\":2}")]
    [InlineData("\"x\"")]
    [InlineData("")]
    [InlineData("{\"a\":\"\\ud800\"}")]
    public void What_is_no_json_object_is_refused_in_one_line(string json)
    {
        var e = Assert.Throws<BlockException>(() => OptionTree.AddJson(new Dictionary<string, string>(), json));
        Assert.Equal(ErrorCode.Invalid, e.Code);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void Below_takes_whole_levels_only()
    {
        var options = new Dictionary<string, string> { ["file.driver"] = "file", ["files.x"] = "1", ["file"] = "node", ["file.a.b"] = "2" };
        Assert.Equal("a.b=2;driver=file", Show(OptionTree.Below(options, "file")));
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("512", 512)]
    [InlineData("64k", 65536)]
    [InlineData("1.5G", 1610612736)]
    [InlineData("0x200", 512)]
    [InlineData("7E", 7L << 60)]
    [InlineData("3b", 3)]
    public void Sizes(string text, long expected)
    {
        Assert.True(SizeText.TryParse(text, out var value));
        Assert.Equal(expected, value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("k")]
    [InlineData("-1")]
    [InlineData("8E")]
    [InlineData("1Q")]
    [InlineData("1.5")]
    [InlineData("0xffffffffffffffff")]
    [InlineData("1 k")]
    [InlineData("99999999999999999999999")]
    public void What_is_no_size(string text) => Assert.False(SizeText.TryParse(text, out _));

    [Theory]
    [InlineData("dir/top.qcow2", "base", "dir/base")]
    [InlineData("top.qcow2", "base", "base")]
    [InlineData("/a/top", "../base", "/a/../base")]
    [InlineData("dir/top", "/base", "/base")]
    [InlineData("dir/top", "file:base", "base")]
    [InlineData("dir/top", "./a:b", "dir/./a:b")]
    [InlineData("dir/top", "nbd://host/x", null)]
    [InlineData("dir/top", "json:{}", null)]
    public void A_relative_name_begins_at_the_image(string image, string name, string? expected) =>
        Assert.Equal(expected, FileNames.Resolve(image, name));

    [Fact]
    public void A_relative_name_needs_an_image_with_a_path() =>
        Assert.Throws<BlockException>(() => FileNames.Resolve("", "base"));

    private static string Show(Dictionary<string, string> options) =>
        string.Join(';', options.OrderBy(o => o.Key, StringComparer.Ordinal).Select(o => $"{o.Key}={o.Value}"));
}
