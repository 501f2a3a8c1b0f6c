using Byre.Nbd.Tls;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Tls;

public class TlsPriorityTests
{
    [Theory]
    [InlineData("NORMAL", 2, 3, false)]
    [InlineData("@QEMU,SYSTEM", 2, 3, false)]
    [InlineData("NORMAL:-VERS-TLS1.3", 2, 2, false)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2", 2, 2, false)]
    [InlineData("NORMAL:-VERS-TLS-ALL:+VERS-TLS1.2:+VERS-TLS1.3", 2, 3, false)]
    [InlineData("@SYSTEM", 2, 3, false)]
    [InlineData("@SYSTEM:-VERS-TLS1.3", 2, 2, false)]
    [InlineData("@QEMU,SECURE256", 2, 3, true)]
    [InlineData("SECURE128", 2, 3, false)]
    [InlineData("SECURE192", 2, 3, true)]
    [InlineData("SECURE256:+PSK", 2, 3, true)]
    [InlineData("NORMAL:+PSK", 2, 3, false)]
    [InlineData("NORMAL:+ECDHE-PSK:+DHE-PSK:-VERS-TLS1.3", 2, 2, false)]
    [InlineData("NORMAL:-ARCFOUR-128:-3DES-CBC:-MD5:-RSA:-COMP-ALL:+COMP-NULL", 2, 3, false)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.3", 3, 3, false)]
    [InlineData("SECURE256:!VERS-TLS1.2", 3, 3, true)]
    [InlineData("NORMAL:+ECDHE-PSK:+DHE-PSK:+PSK:-VERS-TLS1.0:-VERS-TLS1.1", 2, 3, false)]
    [InlineData("SECURE128:%SERVER_PRECEDENCE:+VERS-TLS1.1", 2, 3, false)]
    public void Texts_choose_versions_and_strength(string text, int least, int most, bool strong) =>
        Assert.Equal((0x300 + least + 1, 0x300 + most + 1, strong), (TlsPriority.Parse(text).LeastVersion, TlsPriority.Parse(text).MostVersion, TlsPriority.Parse(text).OnlyStrong));

    [Theory]
    [InlineData("NORMAL", true)]
    [InlineData("SECURE256", false)]
    [InlineData("SECURE192:-VERS-TLS1.3", false)]
    public void Short_keys_are_offered_only_where_strength_is_not_asked_for(string text, bool isOffered)
    {
        var priority = TlsPriority.Parse(text);
        foreach (var ciphers in (string[])[priority.Ciphers12, priority.PskCiphers12, priority.AnonymousCiphers12, priority.Suites13, priority.PskSuites13])
        {
            Assert.Equal(isOffered, ciphers.Contains("AES128", StringComparison.Ordinal) || ciphers.Contains("AES_128", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("NONE:+VERS-TLS1.3")]
    [InlineData("NORMAL:-VERS-ALL")]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.1")]
    [InlineData("NORMAL:-AES-128-GCM")]
    [InlineData("NORMAL:%PROFILE_HIGH")]
    [InlineData("SUITEB192")]
    [InlineData("NORMAL:-DHE-PSK")]
    [InlineData("NORMAL:-CIPHER-ALL:+AES-256-GCM")]
    [InlineData("NORMAL:VERS-TLS1.2")]
    [InlineData("NORMAL:PSK")]
    [InlineData("NORMAL:+VERS-TLS1.4")]
    [InlineData("NORMAL:+NOSUCH")]
    [InlineData("NORMAL:%COMPAT")]
    [InlineData("normal")]
    public void What_it_cannot_take_away_it_refuses(string text) =>
        Assert.Equal(ErrorCode.NotSupported, Assert.Throws<BlockException>(() => TlsPriority.Parse(text)).Code);
}
