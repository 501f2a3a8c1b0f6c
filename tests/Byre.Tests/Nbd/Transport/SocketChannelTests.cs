using System.Net;
using System.Net.Sockets;
using Byre.Nbd.Transport;

namespace Byre.Tests.Nbd.Transport;

public sealed class SocketChannelTests
{
    [Fact]
    public async Task Bytes_sent_in_two_parts_arrive_as_one_stream()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        using (b)
        {
            var first = Enumerable.Range(0, 300_000).Select(i => (byte)i).ToArray();
            var second = Enumerable.Range(0, 500_000).Select(i => (byte)(i * 7)).ToArray();
            var sending = Task.Run(() => a.Send(first, second));
            var all = new byte[first.Length + second.Length];
            Assert.True(b.ReceiveAll(all));
            await sending;
            Assert.Equal(first.Concat(second), all);
        }
    }

    [Fact]
    public void Nothing_waits_where_it_is_told_not_to()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        using (b)
        {
            var buffer = new byte[1 << 16];
            Assert.Equal(-1, b.TryReceive(buffer));
            Assert.Equal(ChannelEvents.None, b.Poll(ChannelEvents.Readable, timeout: 1));
            var sent = 0L;
            for (int count; (count = a.TrySend(buffer, buffer)) > 0;)
            {
                sent += count;
            }

            Assert.True(sent > 0);
            Assert.Equal(ChannelEvents.None, a.Poll(ChannelEvents.Writable, timeout: 1));
            Assert.Equal(ChannelEvents.Readable, b.Poll(ChannelEvents.Readable | ChannelEvents.Writable, timeout: 1000) & ChannelEvents.Readable);
            for (var got = 0L; got < sent;)
            {
                got += b.Receive(buffer);
            }

            Assert.Equal(ChannelEvents.Writable, a.Poll(ChannelEvents.Writable, timeout: 1000));
        }
    }

    [Fact]
    public void The_end_and_the_limit_are_told_apart()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        using (b)
        {
            var buffer = new byte[16];
            b.SetReceiveTimeout(TimeSpan.FromMilliseconds(5));
            Assert.Equal(-1, b.Receive(buffer));
            a.ShutdownSend();
            Assert.Equal(0, b.Receive(buffer));
            Assert.False(b.ReceiveAll(buffer));
            b.Send(buffer.AsSpan(0, 3));
            Assert.Equal(3, a.Receive(buffer));
        }
    }

    [Fact]
    public async Task A_shutdown_ends_the_wait_of_another_thread()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        using (b)
        {
            var waiting = Task.Run(() => a.Receive(new byte[1]));
            await Task.Delay(20);
            Assert.False(waiting.IsCompleted);
            a.Shutdown();
            Assert.Equal(0, await waiting.WaitAsync(TimeSpan.FromSeconds(20)));
        }

        a.Shutdown();
        Assert.Throws<ObjectDisposedException>(() => a.Receive(new byte[1]));
    }

    [Fact]
    public void Sending_to_a_peer_that_is_gone_is_an_IO_failure()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        {
            b.Dispose();
            var failure = Assert.Throws<IOException>(() => a.Send(new byte[1 << 20]));
            Assert.StartsWith("send: ", failure.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_peer_that_never_reads_ends_a_limited_send()
    {
        var (a, b) = SocketChannel.CreatePair();
        using (a)
        using (b)
        {
            a.SetSendTimeout(TimeSpan.FromMilliseconds(20));
            Assert.Throws<IOException>(() => a.Send(new byte[16 << 20]));
        }
    }

    [Fact]
    public async Task An_event_wakes_a_poll()
    {
        var (a, b) = SocketChannel.CreatePair();
        using var wake = new WakeEvent();
        using (a)
        using (b)
        {
            var waiting = Task.Run(() => a.Poll(ChannelEvents.Readable, wake));
            wake.Set();
            wake.Set();
            Assert.Equal(ChannelEvents.Woken, await waiting.WaitAsync(TimeSpan.FromSeconds(20)));
            wake.Reset();
            Assert.Equal(ChannelEvents.None, a.Poll(ChannelEvents.Readable, wake, timeout: 1));
            b.Dispose();
            Assert.Equal(ChannelEvents.Readable | ChannelEvents.HungUp, a.Poll(ChannelEvents.Readable, wake, timeout: 20_000));
        }

        wake.Dispose();
        wake.Set();
    }

    [Fact]
    public async Task It_connects_by_TCP_and_by_path()
    {
        var path = Path.Combine(Path.GetTempPath(), $"byre-{Environment.ProcessId}-{Random.Shared.Next()}.sock");
        foreach (var address in new EndPoint[] { new IPEndPoint(IPAddress.Loopback, 0), new UnixDomainSocketEndPoint(path) })
        {
            using var listening = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
            listening.Bind(address);
            listening.Listen(1);
            using var ours = await SocketChannel.ConnectAsync(listening.LocalEndPoint!, CancellationToken.None);
            using var theirs = SocketChannel.TakeOver(await listening.AcceptAsync());
            ours.Send("ping"u8);
            var buffer = new byte[4];
            Assert.True(theirs.ReceiveAll(buffer));
            Assert.Equal("ping"u8.ToArray(), buffer);
        }

        await Assert.ThrowsAsync<SocketException>(() => SocketChannel.ConnectAsync(new UnixDomainSocketEndPoint(path + ".none"), CancellationToken.None));
        File.Delete(path);
    }

    [Fact]
    public async Task The_wait_for_a_listener_that_takes_nobody_in_can_be_given_up()
    {
        var path = Path.Combine(Path.GetTempPath(), $"byre-{Environment.ProcessId}-{Random.Shared.Next()}.sock");
        using var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen(1);
        using var stop = new CancellationTokenSource();
        var connecting = Enumerable.Range(0, 6).Select(_ => SocketChannel.ConnectAsync(new UnixDomainSocketEndPoint(path), stop.Token)).ToList();
        await Task.Delay(600);
        Assert.Contains(connecting, one => !one.IsCompleted);
        await stop.CancelAsync();
        foreach (var one in connecting)
        {
            try
            {
                using var channel = await one.WaitAsync(TimeSpan.FromSeconds(20));
            }
            catch (OperationCanceledException)
            {
                // It did not get in.
            }
        }

        File.Delete(path);
    }

    [Fact]
    public async Task Who_waits_for_a_listener_gets_in_when_it_takes_others_in()
    {
        var path = Path.Combine(Path.GetTempPath(), $"byre-{Environment.ProcessId}-{Random.Shared.Next()}.sock");
        using var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen(1);
        var connecting = Enumerable.Range(0, 6).Select(_ => SocketChannel.ConnectAsync(new UnixDomainSocketEndPoint(path), CancellationToken.None)).ToList();
        await Task.Delay(600);
        for (var i = 0; i < connecting.Count; i++)
        {
            using var theirs = await Task.Run(listening.Accept).WaitAsync(TimeSpan.FromSeconds(20));
        }

        foreach (var one in connecting)
        {
            (await one.WaitAsync(TimeSpan.FromSeconds(20))).Dispose();
        }

        File.Delete(path);
    }
}
