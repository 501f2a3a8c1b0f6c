using Byre.Blockdev;
using Byre.Nodes;

namespace Byre.Tests.Blockdev;

public sealed class SecretStoreTests : IDisposable
{
    // openssl enc -aes-256-cbc of "abc", with 32 times "k" for a key and 16 times "i" for a vector.
    private const string Key = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
    private const string Iv = "aWlpaWlpaWlpaWlpaWlpaQ==";
    private const string Encrypted = "eBD/+6rC5/mmHCq5S91Bpg==";

    private readonly SecretStore store = new();
    private readonly string path = Path.GetTempFileName();

    public void Dispose()
    {
        store.Dispose();
        File.Delete(path);
    }

    [Theory]
    [InlineData("data=abc")]
    [InlineData("data=YWJj,format=base64")]
    [InlineData("file=FILE")]
    [InlineData("data=eBD/+6rC5/mmHCq5S91Bpg==,format=base64,keyid=master,iv=aWlpaWlpaWlpaWlpaWlpaQ==")]
    public void A_secret_is_what_was_given(string options)
    {
        File.WriteAllText(path, "abc");
        Add("master", $"data={Key},format=base64");
        Add("s", options.Replace("FILE", path, StringComparison.Ordinal));
        Assert.Equal("abc"u8.ToArray(), store.Passphrase("s").Span.ToArray());
    }

    [Fact]
    public void A_file_is_taken_whole_with_its_line_s_end()
    {
        File.WriteAllText(path, new string('x', 20_000) + "\n");
        Add("s", "file=" + path);
        Assert.Equal(20_001, store.Passphrase("s").Length);
    }

    [Theory]
    [InlineData("", "either 'file' or 'data'")]
    [InlineData("data=hidden,file=x", "has both")]
    [InlineData("data=hidd!n,format=base64", "not valid base64")]
    [InlineData("data=hidden,format=hex", "raw or base64")]
    [InlineData("data=hidden,foo=1", "'foo'")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=nobody,iv=" + Iv, "No secret with id 'nobody'")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=master", "needs its iv")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=master,iv=YWJj", "3 bytes")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=master,iv=!", "iv is not valid base64")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=short,iv=" + Iv, "3 bytes, and needs 32")]
    [InlineData("data=hidden,keyid=master,iv=" + Iv, "cannot be decrypted")]
    [InlineData("data=" + Encrypted + ",format=base64,keyid=other,iv=" + Iv, "cannot be decrypted")]
    public void What_is_no_secret_is_refused_and_not_shown(string options, string expected)
    {
        Add("master", $"data={Key},format=base64");
        Add("short", "data=abc");
        Add("other", "data=01234567890123456789012345678901");
        var e = Assert.Throws<BlockException>(() => Add("s", options));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        foreach (var hidden in new[] { "hid", Encrypted, Key, "abc" })
        {
            Assert.DoesNotContain(hidden, e.Message, StringComparison.Ordinal);
        }

        Assert.Throws<BlockException>(() => store.Passphrase("s"));
    }

    [Theory]
    [InlineData("data=YQBi")]
    [InlineData("data=/w==")]
    public void What_is_no_text_is_no_passphrase(string options)
    {
        Add("s", options + ",format=base64");
        Assert.Throws<BlockException>(() => store.Passphrase("s"));
    }

    [Fact]
    public void A_file_that_is_not_there_is_one_clear_line()
    {
        var e = Assert.Throws<BlockException>(() => Add("s", "file=" + path + ".missing"));
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void Secrets_are_overwritten_with_the_store()
    {
        Add("s", "data=abc");
        var memory = store.Passphrase("s").Memory;
        store.Dispose();
        Assert.Equal(new byte[3], memory.ToArray());
    }

    private void Add(string id, string options)
    {
        var all = new Dictionary<string, string>(StringComparer.Ordinal);
        OptionTree.AddList(all, options);
        store.Add(id, all);
    }
}
