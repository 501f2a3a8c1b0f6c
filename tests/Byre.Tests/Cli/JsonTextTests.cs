using Byre.Cli.Img;

namespace Byre.Tests.Cli;

public sealed class JsonTextTests
{
    [Fact]
    public void It_is_laid_out_as_qemu_does()
    {
        var json = new JsonText();
        json.BeginObject();
        json.BeginArray("children");
        json.EndArray();
        json.BeginObject("data");
        json.EndObject();
        json.BeginArray("list");
        json.Add(null, "a");
        json.BeginObject();
        json.Add("n", 5);
        json.Add("yes", true);
        json.EndObject();
        json.EndArray();
        json.EndObject();
        Assert.Equal(
            "{\n    \"children\": [\n    ],\n    \"data\": {\n    },\n    \"list\": [\n        \"a\",\n        {\n            \"n\": 5,\n            \"yes\": true\n        }\n    ]\n}",
            json.ToString());
    }

    [Fact]
    public void Strings_are_escaped_down_to_ascii()
    {
        var json = new JsonText();
        json.Add(null, "a\"\\\n\u0001\u007fé");
        Assert.Equal("\"a\\\"\\\\\\n\\u0001\\u007F\\u00E9\"", json.ToString());
    }
}
