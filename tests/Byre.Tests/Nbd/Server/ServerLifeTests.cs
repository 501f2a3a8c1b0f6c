using System.Diagnostics;
using System.Net.Sockets;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nbd.Transport;
using Byre.Nodes;
using Byre.Tests.Requests;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>Connections that come, rest and go; exports and servers that end.</summary>
public class ServerLifeTests
{
    /// <summary>What rests longer than a second is parked, and goes on as if nothing had been.</summary>
    [Fact]
    public async Task A_connection_that_rests_goes_on()
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(NbdHeaderStyle.Structured, "base:allocation");
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal(disk.Content[..70_000], client.Request(NbdCommand.Read, 0, 70_000).Data);
            Thread.Sleep(1500);
        }

        Assert.Single(client.Request(NbdCommand.BlockStatus, 0, 512).Status);
        var half = client.RequestBytes(NbdCommand.Write, 0, 4, 0, [1, 2, 3, 4], 77);
        client.Send(half.AsSpan(0, 20));
        Thread.Sleep(1500);
        client.Send(half.AsSpan(20));
        var reply = new RawReply(77, 0, 0);
        Assert.True(client.ReadChunk(reply));
        Assert.Equal(NbdError.None, reply.Error);
    }

    /// <summary>libnbd's clients end the option phase so.</summary>
    [Fact]
    public async Task A_client_that_aborts_and_leaves_without_the_reply_is_no_failure()
    {
        await using var disk = new ServedDisk();
        for (var i = 0; i < 20; i++)
        {
            var client = disk.Negotiate();
            client.Send(OptionBytes(NbdOption.Abort));
            client.Dispose();
        }

        for (var watch = Stopwatch.StartNew(); disk.Server.ConnectionCount > 0; Thread.Sleep(5))
        {
            Assert.True(watch.Elapsed < TimeSpan.FromMinutes(1), "the connections end");
        }

        Assert.Empty(disk.Log);
    }

    [Fact]
    public async Task Clients_are_accepted_from_several_sockets()
    {
        var directory = Directory.CreateTempSubdirectory("byre-nbd").FullName;
        try
        {
            await using var disk = new ServedDisk();
            foreach (var name in (string[])["a", "b"])
            {
                var path = Path.Combine(directory, name);
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Bind(new UnixDomainSocketEndPoint(path));
                socket.Listen(10);
                disk.Server.Listen(socket);
                using var client = new RawClient(await SocketChannel.ConnectAsync(new UnixDomainSocketEndPoint(path), default));
                client.Greet();
                client.Enter("disk", NbdHeaderStyle.Simple);
                Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
            }
        }
        finally
        {
            Directory.Delete(directory, true);
        }
    }

    [Fact]
    public async Task Clients_beyond_the_limit_wait_until_another_leaves()
    {
        await using var disk = new ServedDisk(new NbdServerOptions { MaxConnections = 2 });
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listening.Listen(10);
        var address = listening.LocalEndPoint!;
        disk.Server.Listen(listening);
        var clients = new List<RawClient>();
        for (var i = 0; i < 3; i++)
        {
            clients.Add(new RawClient(await SocketChannel.ConnectAsync(address, default)));
        }

        for (var i = 0; i < 2; i++)
        {
            // Out of their handshake: nothing else wakes the server while they rest.
            clients[i].Greet();
            clients[i].Enter("disk", NbdHeaderStyle.Simple);
        }

        Assert.Equal(ChannelEvents.None, clients[2].Channel.Poll(ChannelEvents.Readable, null, 300));
        Assert.Equal(2, disk.Server.ConnectionCount);
        clients[0].Dispose();
        clients[2].Greet();
        clients[2].Enter("disk", NbdHeaderStyle.Simple);
        clients.ForEach(client => client.Dispose());
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0)]
    public async Task Unless_told_otherwise_a_server_takes_1024_connections(int? limit)
    {
        var options = new NbdServerOptions { HandshakeLimit = TimeSpan.Zero };
        await using var disk = new ServedDisk(limit is { } most ? options with { MaxConnections = most } : options);
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listening.Listen(10);
        disk.Server.Listen(listening);
        var clients = Enumerable.Range(0, 1024).Select(_ => disk.Connect()).ToList();
        using var last = new RawClient(await SocketChannel.ConnectAsync(listening.LocalEndPoint!, default));
        if (limit is null)
        {
            Assert.Equal(ChannelEvents.None, last.Channel.Poll(ChannelEvents.Readable, null, 300));
            Assert.Equal(1024, disk.Server.ConnectionCount);
            clients[500].Dispose();
        }

        last.Greet();
        last.Enter("disk", NbdHeaderStyle.Simple);
    }

    [Fact]
    public async Task A_handshake_that_takes_too_long_is_ended()
    {
        await using var disk = new ServedDisk(new NbdServerOptions { HandshakeLimit = TimeSpan.FromMilliseconds(700) });
        var silent = disk.Connect();
        var client = disk.Use(NbdHeaderStyle.Simple);
        silent.Read(18);
        silent.ExpectEnd();
        Thread.Sleep(800);
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
    }

    [Fact]
    public async Task The_server_tells_when_the_last_client_has_gone()
    {
        await using var disk = new ServedDisk();
        var counts = new System.Collections.Concurrent.ConcurrentQueue<int>();
        disk.Server.ConnectionsChanged += counts.Enqueue;
        var idle = disk.Server.WhenIdleAfterFirstClient();
        var looking = disk.Negotiate();
        looking.OptionOnce(NbdOption.Abort);
        Assert.True(SpinWait.SpinUntil(() => disk.Server.ConnectionCount == 0, 20_000));
        Assert.False(idle.IsCompleted); // it has only looked
        var first = disk.Use(NbdHeaderStyle.Simple);
        var second = disk.Use(NbdHeaderStyle.Simple);
        first.SendRequest(NbdCommand.Disconnect, 0, 0);
        first.ExpectEnd();
        Assert.True(SpinWait.SpinUntil(() => disk.Server.ConnectionCount == 1, 20_000));
        Assert.False(idle.IsCompleted);
        second.Dispose();
        await idle.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal([1, 0, 1, 2, 1, 0], counts);
    }

    [Fact]
    public async Task Exports_come_and_go_while_clients_use_others()
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(NbdHeaderStyle.Simple);
        var other = new NbdExport(new NbdExportOptions { Name = "other" }, disk.Edge);
        disk.Server.Exports.Add(other);
        Assert.Throws<BlockException>(() => disk.Server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "other" }, disk.Edge)));
        Assert.Same(other, disk.Server.Exports.Find("other"));
        var second = disk.Negotiate();
        second.Enter("other", NbdHeaderStyle.Simple);
        Assert.Equal(ErrorCode.Busy, (await Assert.ThrowsAsync<BlockException>(async () => await disk.Server.Exports.RemoveAsync("other", hard: false))).Code);
        Assert.Equal(disk.Content[..100], second.Request(NbdCommand.Read, 0, 100).Data);
        await disk.Server.Exports.RemoveAsync("other", hard: true);
        second.ExpectEnd();
        Assert.Equal(ErrorCode.NotFound, (await Assert.ThrowsAsync<BlockException>(async () => await disk.Server.Exports.RemoveAsync("other", hard: true))).Code);
        Assert.Equal(NbdOptionReply.ErrorUnknown, disk.Negotiate().OptionOnce(NbdOption.Info, GoData("other")));
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
        Assert.Equal(["disk"], disk.Server.Exports.List().Select(export => export.Name));
        disk.Server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "other" }, disk.Edge));
        disk.Negotiate().Enter("other", NbdHeaderStyle.Simple);
    }

    /// <summary>QEMU's mode=safe and mode=hard.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_safe_removal_fails_while_clients_use_the_export_and_a_hard_one_disconnects_them(bool hard)
    {
        await using var disk = new ServedDisk();
        var user = disk.Use(NbdHeaderStyle.Structured);
        var looking = disk.Negotiate();
        Assert.NotEqual(NbdOptionReply.ErrorUnknown, looking.Option(NbdOption.Info, GoData("disk"))[0].Reply);
        if (hard)
        {
            await disk.Server.Exports.RemoveAsync("disk", hard: true).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
            user.ExpectEnd();
        }
        else
        {
            var failure = await Assert.ThrowsAsync<BlockException>(async () => await disk.Server.Exports.RemoveAsync("disk", hard: false));
            Assert.Equal((ErrorCode.Busy, "The export 'disk' is in use by clients; only a hard removal disconnects them"), (failure.Code, failure.Message));
            Assert.Equal(disk.Content[..100], user.Request(NbdCommand.Read, 0, 100).Data); // nobody was disturbed
            disk.Negotiate().Enter("disk", NbdHeaderStyle.Simple); // and others may still come
            Assert.Equal(2, disk.Export.ConnectionCount);
            disk.DropClients(exceptFor: looking);
            Assert.True(SpinWait.SpinUntil(() => disk.Export.ConnectionCount == 0, 20_000));
            await disk.Server.Exports.RemoveAsync("disk", hard: false).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        }

        Assert.Empty(disk.Server.Exports.List());
        Assert.Equal(NbdOptionReply.ErrorUnknown, looking.OptionOnce(NbdOption.Go, GoData("disk")));
        Assert.Equal(0, disk.Export.ConnectionCount);
    }

    [Fact]
    public async Task Removing_an_export_waits_for_its_requests()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.SendRequest(NbdCommand.Write, 0, 4, 0, 1, 2, 3, 4);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        var removal = disk.Server.Exports.RemoveAsync("disk", hard: true).AsTask();
        client.ExpectEnd();
        await Task.Delay(100);
        Assert.False(removal.IsCompleted);
        node.Complete(node.InFlight[0]);
        await removal.WaitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>What has begun is answered; what comes while the server ends gets ESHUTDOWN.</summary>
    [Fact]
    public async Task An_ending_server_answers_what_has_begun()
    {
        var node = new GatedNode(1 << 20);
        await using var disk = new ServedDisk(node, new NbdServerOptions { MaxInFlightRequests = 1 });
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.SendRequest(NbdCommand.Write, 0, 4, 0, 1, 2, 3, 4);
        client.SendRequest(NbdCommand.Read, 0, 512);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        var disposal = disk.Server.DisposeAsync().AsTask();
        await Task.Delay(100);
        node.Complete(node.InFlight[0]);
        Assert.Equal(0u, ReadU32(client.Read(16).AsSpan(4)));
        Assert.Equal((uint)NbdError.Shutdown, ReadU32(client.Read(16).AsSpan(4)));
        client.ExpectEnd();
        await disposal.WaitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>A client that negotiates just then is told, and begins nothing.</summary>
    [Fact]
    public async Task An_ending_server_negotiates_no_more()
    {
        using var isAsked = new ManualResetEventSlim();
        using var mayAnswer = new ManualResetEventSlim();
        await using var disk = new ServedDisk(new NbdServerOptions
        {
            Authorize = _ =>
            {
                isAsked.Set();
                return mayAnswer.Wait(TimeSpan.FromSeconds(20));
            },
        });
        var client = disk.Negotiate();
        client.Send([.. OptionBytes(NbdOption.List), .. OptionBytes(NbdOption.Info, GoData("disk")), .. OptionBytes(NbdOption.Go, GoData("disk"))]);
        Assert.True(isAsked.Wait(TimeSpan.FromSeconds(20)));
        var disposal = disk.Server.DisposeAsync().AsTask();
        mayAnswer.Set();
        Assert.Equal(NbdOptionReply.Ack, client.OptionReplies(NbdOption.List)[^1].Reply);
        Assert.Equal(NbdOptionReply.ErrorShutdown, Assert.Single(client.OptionReplies(NbdOption.Info)).Reply);
        Assert.Equal(NbdOptionReply.ErrorShutdown, Assert.Single(client.OptionReplies(NbdOption.Go)).Reply);
        client.ExpectEnd();
        await disposal.WaitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>
    /// Clients that say nothing, or read nothing, cannot keep a server alive (CVE-2024-7409). It promises 2 s, of which it waits for
    /// half a second; a machine that was too busy for that may try once more.
    /// </summary>
    [Fact]
    public async Task Ending_takes_no_longer_for_clients_that_hold_on()
    {
        var took = await EndWithClientsThatHoldOnAsync();
        took = took < TimeSpan.FromSeconds(2) ? took : await EndWithClientsThatHoldOnAsync();
        Assert.True(took < TimeSpan.FromSeconds(2), took.ToString());
    }

    private static async Task<TimeSpan> EndWithClientsThatHoldOnAsync()
    {
        await using var disk = new ServedDisk();
        for (var i = 0; i < 30; i++)
        {
            disk.Connect();
            disk.Negotiate();
            disk.Use(NbdHeaderStyle.Simple);
        }

        var deaf = disk.Use(NbdHeaderStyle.Simple);
        for (var i = 0; i < 20; i++)
        {
            deaf.SendRequest(NbdCommand.Read, 0, 1 << 20);
        }

        var watch = Stopwatch.StartNew();
        await disk.Server.DisposeAsync();
        var took = watch.Elapsed;
        Assert.Equal(0, disk.Server.ConnectionCount);
        return took;
    }

    [Theory]
    [InlineData(-1, 1, 1L, 65536)]
    [InlineData(0, 1, 1L, 65536, -1)]
    [InlineData(0, 0, 1L, 65536)]
    [InlineData(0, 1, 0L, 65536)]
    [InlineData(0, 1, 1L, 65535)]
    [InlineData(0, 1, 1L, (256 << 20) + 1)]
    public void Limits_out_of_range_are_refused(int connections, int requests, long bytes, int payload, long all = 0) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new NbdServer(new NbdServerOptions
        {
            MaxConnections = connections,
            MaxInFlightRequests = requests,
            MaxInFlightBytes = bytes,
            MaxTotalInFlightBytes = all,
            MaxPayload = payload,
        }));
}
