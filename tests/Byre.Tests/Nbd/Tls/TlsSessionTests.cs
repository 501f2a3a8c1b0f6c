using System.Text;
using Byre.Nbd.Tls;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Tls;

/// <summary>Both ends are ours, over a pair of sockets.</summary>
public sealed class TlsSessionTests(TlsFixture keys) : IClassFixture<TlsFixture>
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private const string Only12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
    private const string Only13 = "NORMAL:-VERS-ALL:+VERS-TLS1.3";

    [Theory]
    [InlineData(null)]
    [InlineData(Only12)]
    [InlineData(Only13)]
    [InlineData("SECURE256:-VERS-TLS1.3")]
    public async Task Certificates_name_both_sides(string? priority)
    {
        using var server = Server(keys.Server, priority);
        using var client = Client(keys.Client);
        var (ours, theirs) = await OpenAsync(server, client);
        using (ours.Channel)
        using (theirs.Channel)
        {
            Assert.Equal("O=Example\\, Org,CN=laptop", ours.PeerName);
            Assert.Equal("O=Byre,CN=server.example", theirs.PeerName);
            Echo(ours.Channel, theirs.Channel);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData(Only12)]
    [InlineData(Only13)]
    [InlineData("SECURE256:-VERS-TLS1.2")]
    public async Task Known_keys_name_the_user(string? priority)
    {
        using var server = TlsServerSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.Keys), Priority = priority });
        using var client = TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.Keys), UserName = "alice" });
        var (ours, theirs) = await OpenAsync(server, client);
        using (ours.Channel)
        using (theirs.Channel)
        {
            Assert.Equal("alice", ours.PeerName);
            Echo(ours.Channel, theirs.Channel);
        }
    }

    [Theory]
    [InlineData("alice")] // another key
    [InlineData("mallory")] // a user that the server does not know, with a key that it knows
    public async Task A_wrong_key_ends_the_handshake(string user)
    {
        using var server = TlsServerSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.Keys) });
        foreach (var priority in (string[])[Only12, Only13])
        {
            using var client = TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.OtherKeys), UserName = user, Priority = priority });
            var refused = await RefusalAsync(server, client);
            Assert.Contains(user == "mallory" ? "there is no key for the user 'mallory'" : "TLS handshake failed: ", refused, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_key_behind_a_number_sign_is_that_of_a_name_in_digits()
    {
        var folder = Directory.CreateDirectory(Path.Combine(keys.Root, "numbered")).FullName;
        await File.WriteAllTextAsync(KeyFile(folder), "#alice:00112233\n#626f62:44556677\n");
        var mine = Directory.CreateDirectory(Path.Combine(keys.Root, "numbered mine")).FullName;
        await File.WriteAllTextAsync(KeyFile(mine), "bob:44556677\n#23616c696365:00112233\n");
        using var server = TlsServerSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(folder) });
        using (var bob = TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(mine), UserName = "bob" }))
        {
            var (ours, theirs) = await OpenAsync(server, bob);
            ours.Channel.Dispose();
            theirs.Channel.Dispose();
            Assert.Equal("bob", ours.PeerName);
        }

        // A key that was taken away by a sign before its line is not that of a user with the sign in his name.
        using var alice = TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(mine), UserName = "#alice" });
        Assert.Contains("there is no key for the user '#alice'", await RefusalAsync(server, alice), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\0")]
    [InlineData("\0server.example")]
    [InlineData("server.example\0.other.example")]
    public async Task A_name_with_a_zero_character_is_no_name(string name)
    {
        using var client = Client(keys.Client);
        var (network, far) = SocketChannel.CreatePair();
        using (network)
        {
            var refused = await Assert.ThrowsAsync<IOException>(async () => await client.ConnectAsync(far, name, CancellationToken.None));
            Assert.Contains("is no name that a certificate could be for", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Large_data_passes_in_both_directions_at_once()
    {
        const int length = 24 << 20;
        using var server = Server(keys.Server);
        using var client = Client(keys.Client);
        var (ours, theirs) = await OpenAsync(server, client);
        using (ours.Channel)
        using (theirs.Channel)
        {
            var data = new byte[length];
            new Random(7).NextBytes(data);
            var sends = new[] { ours.Channel, theirs.Channel }.Select(channel => Task.Run(() =>
            {
                channel.Send(data);
                channel.ShutdownSend();
            })).ToArray();
            var reads = new[] { ours.Channel, theirs.Channel }.Select(channel => Task.Run(() =>
            {
                var got = new byte[length];
                Assert.True(channel.ReceiveAll(got));
                Assert.Equal(0, channel.Receive(new byte[1]));
                return got;
            })).ToArray();
            await Task.WhenAll(sends).WaitAsync(Limit);
            foreach (var got in await Task.WhenAll(reads).WaitAsync(Limit))
            {
                Assert.True(got.AsSpan().SequenceEqual(data));
            }
        }
    }

    [Fact]
    public async Task What_was_sent_before_closing_arrives()
    {
        using var server = Server(keys.Server);
        using var client = Client(keys.Client);
        var (ours, theirs) = await OpenAsync(server, client);
        using (theirs.Channel)
        {
            using (ours.Channel)
            {
                ours.Channel.Send("the last word"u8);
            }

            var got = new byte["the last word".Length];
            Assert.True(theirs.Channel.ReceiveAll(got));
            Assert.Equal("the last word", Encoding.UTF8.GetString(got));
            Assert.Equal(0, theirs.Channel.Receive(new byte[1]));
        }
    }

    [Fact]
    public async Task Closing_ends_a_connection_whose_peer_does_not_read()
    {
        using var server = Server(keys.Server);
        using var client = Client(keys.Client);
        var (network, far) = SocketChannel.CreatePair();
        var connecting = client.ConnectAsync(far, TlsFixture.Host, CancellationToken.None);
        var (ours, theirs) = (await server.AcceptAsync(network, CancellationToken.None), await connecting);
        using (theirs.Channel)
        {
            ours.Channel.SetSendTimeout(TimeSpan.FromMilliseconds(200));
            Assert.Throws<IOException>(() => ours.Channel.Send(new byte[16 << 20]));
            ours.Channel.Dispose();

            // The pump gives up; then the encrypted socket is closed, and the peer that reads at last sees the end.
            await Task.Run(() =>
            {
                var room = new byte[1 << 20];
                try
                {
                    while (theirs.Channel.Receive(room) > 0)
                    {
                    }
                }
                catch (IOException)
                {
                    // A reset is an end, too.
                }
            }).WaitAsync(Limit);
        }
    }

    [Fact]
    public async Task The_certificate_must_be_for_the_host()
    {
        using var server = Server(keys.Server);
        using var client = Client(keys.Client);
        var (network, far) = SocketChannel.CreatePair();
        var accepting = server.AcceptAsync(network, CancellationToken.None).AsTask();
        var failure = await Assert.ThrowsAsync<IOException>(async () => await client.ConnectAsync(far, "elsewhere.example", CancellationToken.None));
        Assert.Contains("ertificate is not accepted: hostname mismatch", failure.Message, StringComparison.OrdinalIgnoreCase);
        await Assert.ThrowsAsync<IOException>(() => accepting.WaitAsync(Limit));
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.0.0.2", false)]
    [InlineData("localhost", true)]
    public async Task Addresses_are_checked_like_names(string host, bool isRight)
    {
        using var server = Server(keys.Server, verifyPeer: false);
        using var client = Client(keys.Anonymous);
        var (network, far) = SocketChannel.CreatePair();
        var accepting = server.AcceptAsync(network, CancellationToken.None).AsTask();
        if (isRight)
        {
            using var open = (await client.ConnectAsync(far, host, CancellationToken.None)).Channel;
            using var ours = (await accepting.WaitAsync(Limit)).Channel;
            Echo(ours, open);
        }
        else
        {
            await Assert.ThrowsAsync<IOException>(async () => await client.ConnectAsync(far, host, CancellationToken.None));
            await Assert.ThrowsAsync<IOException>(() => accepting.WaitAsync(Limit));
        }
    }

    [Fact]
    public async Task Without_a_host_name_nothing_is_believed()
    {
        using var client = Client(keys.Client);
        var (network, far) = SocketChannel.CreatePair();
        using (network)
        {
            var failure = await Assert.ThrowsAsync<IOException>(async () => await client.ConnectAsync(far, "", CancellationToken.None));
            Assert.Contains("no host name", failure.Message, StringComparison.Ordinal);
            Assert.Equal(0, network.Receive(new byte[1])); // not a byte was sent
        }
    }

    [Theory]
    [InlineData(nameof(TlsFixture.Anonymous), nameof(TlsFixture.Server), "peer did not return a certificate")]
    [InlineData(nameof(TlsFixture.Stranger), nameof(TlsFixture.Server), "the peer's certificate is not accepted: ")]
    [InlineData(nameof(TlsFixture.Revoked), nameof(TlsFixture.Revoking), "the peer's certificate is not accepted: certificate revoked")]
    public async Task Clients_must_show_a_certificate_that_is_believed(string clientKeys, string serverKeys, string reason)
    {
        foreach (var priority in (string[])[Only12, Only13])
        {
            using var server = Server(Of(serverKeys));
            using var client = Client(Of(clientKeys), priority, sanityCheck: false);
            Assert.Contains(reason, await RefusalAsync(server, client), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_revoking_server_takes_others()
    {
        using var server = Server(keys.Revoking);
        using var client = Client(keys.Client);
        var (ours, theirs) = await OpenAsync(server, client);
        using (ours.Channel)
        using (theirs.Channel)
        {
            Echo(ours.Channel, theirs.Channel);
        }
    }

    [Fact]
    public async Task Where_nobody_is_asked_nobody_has_a_name()
    {
        using var server = Server(keys.Server, verifyPeer: false);
        using var client = TlsClientSecurity.WithCertificates(new TlsX509Options { Directory = keys.Stranger, VerifyPeer = false, SanityCheck = false });
        var (ours, theirs) = await OpenAsync(server, client);
        using (ours.Channel)
        using (theirs.Channel)
        {
            Assert.Null(ours.PeerName);
            Assert.Null(theirs.PeerName);
        }
    }

    [Fact]
    public async Task Versions_are_not_negotiated_down()
    {
        using var server = Server(keys.Server, Only13);
        using var client = Client(keys.Client, Only12);
        Assert.Contains("unsupported protocol", await RefusalAsync(server, client), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET / HTTP/1.0\r\n\r\n")]
    [InlineData("IHAVEOPT\0\0\0\u0006\0\0\0\0")]
    public async Task Plain_bytes_are_no_handshake(string bytes)
    {
        using var server = Server(keys.Server);
        var (network, far) = SocketChannel.CreatePair();
        using (far)
        {
            far.Send(Encoding.Latin1.GetBytes(bytes));
            var failure = await Assert.ThrowsAsync<IOException>(async () => await server.AcceptAsync(network, CancellationToken.None).AsTask().WaitAsync(Limit));
            Assert.StartsWith("TLS handshake failed: ", failure.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', failure.Message);
        }
    }

    [Fact]
    public async Task A_handshake_that_nobody_goes_on_with_is_given_up()
    {
        using var server = Server(keys.Server);
        var (network, far) = SocketChannel.CreatePair();
        using (far)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await server.AcceptAsync(network, limit.Token).AsTask().WaitAsync(Limit));
            Assert.Equal(0, far.Receive(new byte[1])); // and the connection is closed
        }
    }

    [Fact]
    public async Task A_peer_that_leaves_ends_the_handshake()
    {
        using var server = Server(keys.Server);
        var (network, far) = SocketChannel.CreatePair();
        far.Dispose();
        var failure = await Assert.ThrowsAsync<IOException>(async () => await server.AcceptAsync(network, CancellationToken.None).AsTask().WaitAsync(Limit));
        Assert.StartsWith("TLS handshake failed: ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Credentials_that_are_of_no_use_are_refused_in_one_line()
    {
        Assert.Contains("certificate has expired", Refusal(() => Server(keys.Expired)), StringComparison.Ordinal);
        Server(keys.Expired, sanityCheck: false).Dispose();
        Assert.Contains("server-cert.pem': No such file or directory", Refusal(() => Server(keys.Client)), StringComparison.Ordinal);
        Assert.Contains("ca-cert.pem': No such file or directory", Refusal(() => Server(keys.Root)), StringComparison.Ordinal);
        Assert.Contains("(it is encrypted: passwordid=", Refusal(() => Server(keys.Protected)), StringComparison.Ordinal);

        var mixed = Path.Combine(keys.Root, "mixed");
        Directory.CreateDirectory(mixed);
        foreach (var file in (string[])["ca-cert.pem", "server-cert.pem"])
        {
            File.Copy(Path.Combine(keys.Server, file), Path.Combine(mixed, file), overwrite: true);
        }

        File.Copy(Path.Combine(keys.Client, "client-key.pem"), Path.Combine(mixed, "server-key.pem"), overwrite: true);
        Assert.Contains("does not belong to the certificate", Refusal(() => Server(mixed)), StringComparison.Ordinal);

        File.WriteAllText(Path.Combine(mixed, "server-cert.pem"), "rubbish");
        Assert.Contains("no certificate could be used from", Refusal(() => Server(mixed)), StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(mixed, "ca-crl.pem"), "rubbish");
        Assert.Contains("no list of revoked certificates", Refusal(() => Server(mixed)), StringComparison.Ordinal);
        Assert.Contains("the user 'bob' has no key in", Refusal(
            () => TlsClientSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.Keys), UserName = "bob" })), StringComparison.Ordinal);
        Assert.Contains("No such file", Refusal(() => TlsServerSecurity.WithKeys(new TlsPskOptions { KeyFile = KeyFile(keys.Root) })), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_key_may_have_a_passphrase()
    {
        using var word = new Byre.Crypto.SecretBytes("opensesame"u8);
        using var server = TlsServerSecurity.WithCertificates(new TlsX509Options { Directory = keys.Protected, KeyPassphrase = word });
        using var client = Client(keys.Client);
        var (ours, theirs) = await OpenAsync(server, client);
        ours.Channel.Dispose();
        theirs.Channel.Dispose();

        using var wrong = new Byre.Crypto.SecretBytes("opensesam"u8);
        Assert.Contains("no private key could be read from", Refusal(
            () => TlsServerSecurity.WithCertificates(new TlsX509Options { Directory = keys.Protected, KeyPassphrase = wrong })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ca-crl.pem")]
    [InlineData("dh-params.pem")]
    public void What_may_be_missing_is_not_passed_over_when_it_is_there_and_no_file(string name)
    {
        var folder = Directory.CreateDirectory(Path.Combine(keys.Root, "odd " + name)).FullName;
        foreach (var file in Directory.GetFiles(keys.Server))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        Server(folder).Dispose();
        Directory.CreateDirectory(Path.Combine(folder, name));
        Assert.EndsWith($"{name}': Is a directory", Refusal(() => Server(folder)), StringComparison.Ordinal);
    }

    private static string KeyFile(string directory) => Path.Combine(directory, "keys.psk");

    private static TlsServerSecurity Server(string directory, string? priority = null, bool verifyPeer = true, bool sanityCheck = true) =>
        TlsServerSecurity.WithCertificates(
            new TlsX509Options { Directory = directory, Priority = priority, VerifyPeer = verifyPeer, SanityCheck = sanityCheck });

    private static TlsClientSecurity Client(string directory, string? priority = null, bool sanityCheck = true) =>
        TlsClientSecurity.WithCertificates(new TlsX509Options { Directory = directory, Priority = priority, SanityCheck = sanityCheck });

    private string Of(string property) => (string)typeof(TlsFixture).GetProperty(property)!.GetValue(keys)!;

    private static string Refusal(Func<IDisposable> make)
    {
        var message = Assert.Throws<BlockException>(make).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private static async Task<(SecuredChannel Server, SecuredChannel Client)> OpenAsync(TlsServerSecurity server, TlsClientSecurity client)
    {
        var (network, far) = SocketChannel.CreatePair();
        var connecting = client.ConnectAsync(far, TlsFixture.Host, CancellationToken.None).AsTask();
        var accepted = await server.AcceptAsync(network, CancellationToken.None).AsTask().WaitAsync(Limit);
        return (accepted, await connecting.WaitAsync(Limit));
    }

    /// <summary>The server refuses the client; the reason that the server tells.</summary>
    private static async Task<string> RefusalAsync(TlsServerSecurity server, TlsClientSecurity client)
    {
        var (network, far) = SocketChannel.CreatePair();
        var connecting = client.ConnectAsync(far, TlsFixture.Host, CancellationToken.None).AsTask();
        var failure = await Assert.ThrowsAsync<IOException>(async () => await server.AcceptAsync(network, CancellationToken.None).AsTask().WaitAsync(Limit));
        Assert.DoesNotContain('\n', failure.Message);
        try
        {
            // In TLS 1.3 a client is done before the server has looked at what it shows; then it learns nothing, and sees the end.
            using var channel = (await connecting.WaitAsync(Limit)).Channel;
            Assert.Equal(0, channel.Receive(new byte[1]));
        }
        catch (IOException)
        {
        }

        return failure.Message;
    }

    private static void Echo(SocketChannel one, SocketChannel other)
    {
        var got = new byte[5];
        one.Send("hello"u8);
        Assert.True(other.ReceiveAll(got));
        Assert.Equal("hello"u8.ToArray(), got);
        other.Send("world"u8);
        Assert.True(one.ReceiveAll(got));
        Assert.Equal("world"u8.ToArray(), got);
    }
}
