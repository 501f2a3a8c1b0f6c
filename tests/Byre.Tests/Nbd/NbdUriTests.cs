using Byre.Nbd;
using Byre.Nodes;

namespace Byre.Tests.Nbd;

public sealed class NbdUriTests
{
    [Theory]
    [InlineData("nbd://example.com", "example.com", 10809, "")]
    [InlineData("nbd://example.com/", "example.com", 10809, "")]
    [InlineData("nbd://example.com/disk", "example.com", 10809, "disk")]
    [InlineData("nbd://example.com//disk", "example.com", 10809, "/disk")]
    [InlineData("nbd://example.com/hello%20world", "example.com", 10809, "hello world")]
    [InlineData("nbd://example.com:10810/a/b", "example.com", 10810, "a/b")]
    [InlineData("nbd://[::1]:5/x", "::1", 5, "x")]
    [InlineData("nbd://[fe80::1]", "fe80::1", 10809, "")]
    [InlineData("nbd:///x", "localhost", 10809, "x")]
    [InlineData("nbd://127.0.0.1:/x", "127.0.0.1", 10809, "x")]
    [InlineData("nbd://h/%C3%A4%3F", "h", 10809, "ä?")]
    [InlineData("nbd://h/ä%c3%a4+%25", "h", 10809, "ää+%")]
    [InlineData("nbd://h/%F0%9F%98%80%2F", "h", 10809, "\U0001F600/")]
    public void A_TCP_URI_says_host_port_and_export(string text, string host, int port, string export)
    {
        var uri = NbdUri.Parse(text);
        Assert.Equal((host, port, export), (uri.Address.Host, uri.Address.Port, uri.ExportName));
        Assert.False(uri.Address.IsUnix);
        Assert.False(uri.IsSecure);
        Assert.Equal(uri, NbdUri.Parse(uri.ToString()));
    }

    [Theory]
    [InlineData("nbd+unix:///?socket=nbd.sock", "nbd.sock", "")]
    [InlineData("nbd+unix://?socket=/a/b", "/a/b", "")]
    [InlineData("nbd+unix:///disk?socket=/tmp/a%20b", "/tmp/a b", "disk")]
    [InlineData("nbd+unix:///?socket=%00/abstract", "\0/abstract", "")]
    public void A_socket_URI_says_the_path(string text, string path, string export)
    {
        var uri = NbdUri.Parse(text);
        Assert.Equal((path, export), (uri.Address.SocketPath, uri.ExportName));
        Assert.Equal(uri, NbdUri.Parse(uri.ToString()));
    }

    [Fact]
    public void TLS_is_told_in_scheme_and_query()
    {
        var uri = NbdUri.Parse("nbds+unix://alice@/e?socket=s&tls-type=psk&tls-psk-file=/k/keys.psk&tls-verify-peer=0&tls-hostname=h&tls-certificates=/c");
        Assert.True(uri.IsSecure);
        Assert.Equal(("alice", "psk", "/k/keys.psk", "h", "/c"), (uri.UserName, uri.TlsType, uri.TlsKeyFile, uri.TlsHostName, uri.TlsCertificates));
        Assert.False(uri.TlsVerifyPeer);
        Assert.Equal(uri, NbdUri.Parse(uri.ToString()));
    }

    [Theory]
    [InlineData("http://example.com")]
    [InlineData("nbd:localhost:10809")]
    [InlineData("nbd+unix:///x")]
    [InlineData("nbd+unix:///x?socket=")]
    [InlineData("nbd+unix://host/x?socket=s")]
    [InlineData("nbd://h:port/")]
    [InlineData("nbd://h:0/")]
    [InlineData("nbd://h:65536/")]
    [InlineData("nbd://[::1/x")]
    [InlineData("nbd://[::1]x/y")]
    [InlineData("nbd://[]/x")]
    [InlineData("nbd://[h]/x")]
    [InlineData("nbd://::1/x")]
    [InlineData("nbd://fe80::1:10809/x")]
    [InlineData("nbd://h%3A1/x")]
    [InlineData("nbd://h/x?socket=s")]
    [InlineData("nbd://h/x?tls-type=ssh")]
    [InlineData("nbd://h/x?nonsense=1")]
    [InlineData("nbd://h/a%00b")]
    [InlineData("nbd://h/x#y")]
    [InlineData("nbd://h/50%")]
    [InlineData("nbd://h/%z1")]
    [InlineData("nbd://h/%1")]
    [InlineData("nbd://h/%ff")]
    [InlineData("nbd://h/%C3x")]
    [InlineData("nbd://h%ff/x")]
    [InlineData("nbd+unix:///x?socket=%C3")]
    [InlineData("nbds://h/x?tls-psk-file=")]
    [InlineData("nbds://h/x?tls-certificates=")]
    [InlineData("nbds://h/x?tls-certificates")]
    [InlineData("nbds://h/x?tls-type=x509&tls-psk-file=/k")]
    public void What_is_no_URI_is_refused_in_one_line(string text)
    {
        var failure = Assert.Throws<BlockException>(() => NbdUri.Parse(text));
        Assert.Equal(ErrorCode.Invalid, failure.Code);
        Assert.DoesNotContain('\n', failure.Message);
    }

    [Fact]
    public void A_name_too_long_for_the_protocol_is_refused() =>
        Assert.Throws<BlockException>(() => NbdUri.Parse("nbd://h/" + new string('x', 4097)));
}
