using Byre.Blockdev;
using Byre.Nodes;

namespace Byre.Tests.Blockdev;

public sealed class KeySlotOptionsTests : IDisposable
{
    private readonly SecretStore secrets = new();

    public KeySlotOptionsTests() => secrets.Add("n", new Dictionary<string, string> { ["data"] = "new" });

    public void Dispose() => secrets.Dispose();

    [Fact]
    public void A_change_is_what_the_options_say()
    {
        var change = Read("state=active,new-secret=n,keyslot=0x3,iter-time=10");
        Assert.True(change.Activate);
        Assert.Equal("new"u8.ToArray(), change.NewPassphrase!.Value.ToArray());
        Assert.Null(change.OldPassphrase);
        Assert.Equal((3L, 10L), (change.Slot, change.IterationMilliseconds));
        Assert.Equal("new"u8.ToArray(), Read("state=inactive,old-secret=n").OldPassphrase!.Value.ToArray());
    }

    [Theory]
    [InlineData("new-secret=n", "'state'")]
    [InlineData("state=foo", "'foo'")]
    [InlineData("state=active,new-secret=no", "No secret with id 'no'")]
    [InlineData("state=active,keyslot=x", "keyslot")]
    [InlineData("state=active,keyslot=-1", "keyslot")]
    [InlineData("state=active,iter-time=x", "iter-time")]
    [InlineData("state=active,foo=1", "'foo'")]
    public void What_makes_no_sense_is_one_clear_line(string options, string expected)
    {
        var e = Assert.Throws<BlockException>(() => Read(options));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    private KeySlotChange Read(string options)
    {
        var all = new Dictionary<string, string>(StringComparer.Ordinal);
        OptionTree.AddList(all, options);
        return KeySlotOptions.Read(all, secrets);
    }
}
