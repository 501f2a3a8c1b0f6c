using System.Diagnostics;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>
/// What a hostile server can do to a client: one clear error, in bounded time and memory, and nothing wrong is taken for
/// right. After each attack a good server is used without trouble.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class HostileServerTests
{
    private const long MostAllocated = 256 << 20; // attacks claim gigabytes; the servers of the tests allocate too

    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(20);

    public static TheoryData<string> Handshakes => [.. HandshakeAttacks.All.Keys];

    public static TheoryData<string> Lists => [.. HandshakeAttacks.Lists.Keys];

    public static TheoryData<string> Transmissions => [.. TransmissionAttacks.All.Keys];

    [Theory]
    [MemberData(nameof(Handshakes))]
    public Task In_the_handshake_it(string attack) => Survives(HandshakeAttacks.All[attack]);

    [Theory]
    [MemberData(nameof(Lists))]
    public Task Asked_for_its_exports_it(string attack) => Survives(HandshakeAttacks.Lists[attack]);

    [Theory]
    [MemberData(nameof(Transmissions))]
    public Task In_the_transmission_it(string attack) => Survives(TransmissionAttacks.All[attack]);

    [Fact]
    public void The_catalogue_is_as_long_as_it_is_promised_to_be() =>
        Assert.True(HandshakeAttacks.All.Count + HandshakeAttacks.Lists.Count + TransmissionAttacks.All.Count >= 90);

    [Theory]
    [InlineData(NbdOptionReply.ErrorUnsupported)]
    [InlineData(NbdOptionReply.ErrorPolicy)]
    public async Task A_server_without_TLS_is_told_nothing_where_TLS_is_wanted(NbdOptionReply reply)
    {
        var next = new TaskCompletionSource<NbdOption>();
        using var server = new FakeServer(peer =>
        {
            peer.Greet();
            var (option, _) = peer.ReadOption();
            peer.Reply(option, reply);
            next.SetResult(peer.ReadOption().Option);
        });
        await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(server.Options with { Security = new NoSecurity(), ExportName = "secret" }));
        Assert.Equal(NbdOption.Abort, await next.Task.WaitAsync(Longest));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_server_too_old_for_TLS_is_told_nothing(bool oldStyle)
    {
        var isTold = new TaskCompletionSource<bool>();
        using var server = new FakeServer(peer =>
        {
            if (oldStyle)
            {
                peer.Send(new FakeBytes().U64(NbdMagic.Initial).U64(NbdMagic.OldStyle).U64(1 << 20).U32(1).Fill(0, 124));
            }
            else
            {
                peer.Greet(NbdHandshakeFlags.None);
            }

            try
            {
                peer.Receive(1);
                isTold.SetResult(true);
            }
            catch (EndOfStreamException)
            {
                isTold.SetResult(false);
            }
        });
        var e = await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(server.Options with { Security = new NoSecurity() }));
        Assert.Contains("too old", e.Message, StringComparison.Ordinal);
        Assert.False(await isTold.Task.WaitAsync(Longest));
    }

    [Fact]
    public async Task What_a_server_says_in_plain_behind_its_consent_to_TLS_is_not_believed()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Greet();
            peer.ReadOption();
            peer.Reply(NbdOption.StartTls, NbdOptionReply.Ack);
            peer.Reply(NbdOption.ExtendedHeaders, NbdOptionReply.Ack); // injected
            peer.WaitForEnd();
        });
        var security = new NoSecurity();
        await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(server.Options with { Security = security }));
        Assert.True(security.SawBytes, "what was injected went to TLS, and not to the client");
    }

    [Fact]
    public async Task A_node_does_not_go_back_to_a_server_that_lied()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            var (request, _) = peer.ReadRequest();
            peer.Data(request, request.Offset, new byte[1]);
            peer.WaitForEnd();
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, ReconnectDelay = TimeSpan.FromMinutes(1) });
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(ErrorCode.Corrupt, (await Assert.ThrowsAsync<BlockException>(() => node.ReadAsync(0, new byte[512]).AsTask())).Code);
        }

        await node.DisposeAsync();
        Assert.Equal(1, server.Connections);
    }

    [Fact]
    public async Task A_reply_to_a_request_that_was_not_sent_yet_is_not_believed()
    {
        using var isQueued = new ManualResetEventSlim();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple, size: 64 << 20);
            isQueued.Wait(Longest);
            var head = new byte[NbdReplyHeader.SimpleSize];
            NbdReplyHeader.Simple((2 << 8) | 1, NbdError.None).Write(head); // the second request's number can be guessed
            peer.Send([.. head, .. new byte[512]]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        var write = client.WriteAsync(0, new byte[NbdLimits.DefaultMaxPayload]).AsTask(); // more than the socket takes
        var read = client.ReadAsync(0, new byte[512]).AsTask();
        isQueued.Set();
        foreach (var request in new[] { read, write })
        {
            var e = await Assert.ThrowsAsync<BlockException>(() => request.WaitAsync(Longest));
            Assert.Contains("that was not sent", e.Message, StringComparison.Ordinal);
        }
    }

    private static async Task Survives(Attack attack)
    {
        var before = GC.GetTotalAllocatedBytes(precise: true);
        var watch = Stopwatch.StartNew();
        using (var server = new FakeServer(attack.Serve))
        {
            var e = await Assert.ThrowsAsync<BlockException>(async () =>
            {
                await using var client = await NbdClient.ConnectAsync(attack.Options(server.Options));
                await attack.Use(client).WaitAsync(Longest);
            });
            Assert.Equal((attack.Code, true), (e.Code, e.Message.Contains(attack.Says, StringComparison.Ordinal) ? true : throw new InvalidOperationException(e.Message)));
            Assert.DoesNotContain(e.Message, char.IsControl);
            Assert.True(e.Message.Length < 1000, e.Message);
        }

        Assert.True(watch.Elapsed < Longest, $"it took {watch.Elapsed}");
        Assert.True(GC.GetTotalAllocatedBytes(precise: true) - before < MostAllocated);
        var disk = new byte[] { 1, 2, 3 };
        using var good = new FakeServer(peer =>
        {
            peer.Handshake(size: 3);
            peer.Serve(disk);
        });
        await using var other = await NbdClient.ConnectAsync(good.Options);
        var bytes = new byte[3];
        await other.ReadAsync(0, bytes);
        Assert.Equal(disk, bytes);
    }

    private sealed class NoSecurity : IClientSecurity
    {
        public bool SawBytes { get; private set; }

        public async ValueTask<SecuredChannel> ConnectAsync(SocketChannel plain, string hostName, CancellationToken cancellation)
        {
            SawBytes = await Task.Run(() => plain.Receive(new byte[100]) > 0, cancellation);
            plain.Dispose();
            throw new IOException("these are no records of TLS");
        }
    }
}
