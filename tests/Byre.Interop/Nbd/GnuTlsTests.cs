using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Byre.Nbd.Tls;
using Byre.Nbd.Transport;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>Our TLS and GnuTLS's, which QEMU, nbdkit and libnbd use: both directions, both versions, certificates and keys.</summary>
public sealed class GnuTlsTests : IDisposable
{
    private const string Key = "00112233445566778899aabbccddeeff";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string directory = Directory.CreateTempSubdirectory("byre-gnutls").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK", false)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-PSK", false)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK", true)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.3:+ECDHE-PSK:+DHE-PSK:+PSK", true)]
    public async Task Its_client_uses_our_server_by_a_key(string priority, bool speaks)
    {
        // gnutls-cli of 3.7 falls over its own report of a session with exchanged keys and a known one, after the handshake.
        TlsKeys.AddKeys(directory, ("fred", Key));
        using var security = TlsServerSecurity.WithKeys(new TlsPskOptions { KeyFile = Path.Combine(directory, "keys.psk") });
        Assert.Equal("fred", await ServeAsync(security, ["--pskusername", "fred", "--pskkey", Key, "--priority", priority], speaks));
    }

    [Theory]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2")]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.3")]
    public async Task Its_client_uses_our_server_by_a_certificate(string priority)
    {
        using var keys = new TlsKeys();
        keys.AddServer(directory);
        keys.AddClient(directory);
        using var security = TlsServerSecurity.WithCertificates(new TlsX509Options { Directory = directory });
        Assert.Equal("O=Example\\, Org,CN=laptop", await ServeAsync(security, [
            "--x509cafile", In("ca-cert.pem"), "--x509certfile", In("client-cert.pem"), "--x509keyfile", In("client-key.pem"),
            "--verify-hostname", "server.example", "--priority", priority]));
    }

    [Theory]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.1")]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.0")]
    public async Task Older_versions_are_refused(string priority)
    {
        using var keys = new TlsKeys();
        keys.AddServer(directory);
        using var security = TlsServerSecurity.WithCertificates(new TlsX509Options { Directory = directory, VerifyPeer = false });
        await Assert.ThrowsAsync<IOException>(() => ServeAsync(security, ["--x509cafile", In("ca-cert.pem"), "--insecure", "--priority", priority]));
    }

    [Theory]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2:+ECDHE-PSK:+DHE-PSK:+PSK", true)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.3:+ECDHE-PSK:+DHE-PSK:+PSK", true)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.2", false)]
    [InlineData("NORMAL:-VERS-ALL:+VERS-TLS1.3", false)]
    public async Task Our_client_uses_its_server(string priority, bool byKey)
    {
        using var keys = new TlsKeys();
        keys.AddServer(directory);
        keys.AddClient(directory);
        TlsKeys.AddKeys(directory, ("fred", Key));
        var port = FreePort();
        using var server = Start("gnutls-serv", [
            "--echo", "--quiet", "--port", $"{port}", "--priority", priority,
            .. byKey ? (string[])["--pskpasswd", In("keys.psk")]
                : ["--x509cafile", In("ca-cert.pem"), "--x509certfile", In("server-cert.pem"), "--x509keyfile", In("server-key.pem"), "--require-client-cert"]]);
        try
        {
            using var client = byKey
                ? TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = In("keys.psk"), UserName = "fred" })
                : TlsClientSecurity.WithCertificates(new TlsX509Options { Directory = directory });
            using var network = await ConnectAsync(port);
            using var channel = (await client.ConnectAsync(network, "server.example", CancellationToken.None).AsTask().WaitAsync(Limit)).Channel;
            var got = new byte[12];
            channel.Send("hello there\n"u8);
            Assert.True(await Task.Run(() => channel.ReceiveAll(got)).WaitAsync(Limit));
            Assert.Equal("hello there\n", Encoding.UTF8.GetString(got));
        }
        finally
        {
            server.Kill();
        }
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static async Task<SocketChannel> ConnectAsync(int port)
    {
        for (var patience = Stopwatch.StartNew(); ; await Task.Delay(50))
        {
            try
            {
                return await SocketChannel.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), CancellationToken.None);
            }
            catch (SocketException) when (patience.Elapsed < Limit)
            {
                // It does not listen yet.
            }
        }
    }

    private static Process Start(string program, string[] words) => Process.Start(new ProcessStartInfo(program, words)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;

    private string In(string name) => Path.Combine(directory, name);

    /// <summary>Answers one client in capitals; the name that it has shown.</summary>
    private static async Task<string?> ServeAsync(TlsServerSecurity security, string[] words, bool speaks = true)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var client = Start("gnutls-cli", ["127.0.0.1", "--port", $"{((IPEndPoint)listener.LocalEndPoint!).Port}", .. words]);
        try
        {
            var output = client.StandardOutput.ReadToEndAsync();
            var network = SocketChannel.TakeOver(await Task.Run(listener.Accept).WaitAsync(Limit));
            var secured = await security.AcceptAsync(network, CancellationToken.None).AsTask().WaitAsync(Limit);
            using (secured.Channel)
            {
                if (!speaks)
                {
                    return secured.PeerName;
                }

                await client.StandardInput.WriteAsync("hello there\n");
                await client.StandardInput.FlushAsync();
                var got = new byte[12];
                Assert.True(await Task.Run(() => secured.Channel.ReceiveAll(got)).WaitAsync(Limit));
                secured.Channel.Send(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(got).ToUpperInvariant()));
            }

            Assert.Contains("HELLO THERE", await output.WaitAsync(Limit), StringComparison.Ordinal);
            return secured.PeerName;
        }
        finally
        {
            client.Kill();
        }
    }
}
