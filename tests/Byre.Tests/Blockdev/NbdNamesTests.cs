using Byre.Blockdev;
using Byre.Nbd;
using Byre.Nodes;

namespace Byre.Tests.Blockdev;

public sealed class NbdNamesTests
{
    [Theory]
    [InlineData("nbd://host", "nbd://host:10809")]
    [InlineData("nbd://host/", "nbd://host:10809")]
    [InlineData("nbd://host:1234/disk", "nbd://host:1234/disk")]
    [InlineData("nbd+tcp://host/disk", "nbd://host:10809/disk")]
    [InlineData("nbd://[::1]:99/a%20b", "nbd://[::1]:99/a b")]
    [InlineData("nbd+unix:///?socket=/tmp/s", "nbd+unix://?socket=/tmp/s")]
    [InlineData("nbd+unix:///a?socket=/tmp/s", "nbd+unix:///a?socket=/tmp/s")]
    [InlineData("nbds+unix:///a%3Fb?socket=/tmp/s", "nbds+unix:///a%3Fb?socket=/tmp/s")]
    [InlineData("nbd:host:77", "nbd://host:77")]
    [InlineData("nbd::77", "nbd://localhost:77")]
    [InlineData("nbd:[::1]:77:exportname=x:y", "nbd://[::1]:77/x:y")]
    [InlineData("nbd:unix:/tmp/s", "nbd+unix://?socket=/tmp/s")]
    [InlineData("nbd:unix:/tmp/s:exportname=x", "nbd+unix:///x?socket=/tmp/s")]
    public void Names_are_shown_as_QEMU_shows_them(string name, string shown)
    {
        Assert.True(NbdNames.IsNbd(name));
        var uri = NbdNames.Parse(name);
        Assert.Equal(shown, NbdNames.Of(uri.Address, uri.ExportName.Length == 0 ? null : uri.ExportName, uri.IsSecure));
        if (!shown.Contains("://?", StringComparison.Ordinal))
        {
            Assert.Equal(uri, NbdNames.Parse(shown));
        }
    }

    [Theory]
    [InlineData("nbd:")]
    [InlineData("nbd:host")]
    [InlineData("nbd:host:")]
    [InlineData("nbd:host:0")]
    [InlineData("nbd:host:65536")]
    [InlineData("nbd:unix:")]
    [InlineData("nbd:unix:/tmp/s:exportname=")]
    [InlineData("nbd+unix:///x")]
    [InlineData("nbd+unix:x")]
    [InlineData("nbds:host:1")]
    [InlineData("nbd://host/x?socket=y")]
    public void What_names_no_export_is_refused(string name) =>
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => NbdNames.Parse(name)).Code);

    [Theory]
    [InlineData("nbd")]
    [InlineData("./nbd:x")]
    [InlineData("nbdx://a")]
    [InlineData("file:nbd:x")]
    public void Other_names_are_not_meant(string name) => Assert.False(NbdNames.IsNbd(name));

    [Fact]
    public void A_URI_says_which_credentials_it_wants()
    {
        Assert.Null(NbdUriSecurity.For(NbdUri.Parse("nbd://host")));
        NbdUriSecurity.For(NbdUri.Parse("nbds://host"))!.Dispose();
        Assert.Equal(ErrorCode.NotSupported, Assert.Throws<BlockException>(() => NbdUriSecurity.For(NbdUri.Parse("nbds://host?tls-type=anon"))).Code);
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => NbdUriSecurity.For(NbdUri.Parse("nbds://host?tls-type=psk"))).Code);
    }
}
