using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nbd.Transport;
using Byre.Nodes;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Server;

/// <summary>Requests that end later, on other threads, in another order, or not well.</summary>
public class InFlightTests
{
    private const int Size = 1 << 20;

    public static TheoryData<NbdHeaderStyle> Styles => [NbdHeaderStyle.Simple, NbdHeaderStyle.Structured, NbdHeaderStyle.Extended];

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Requests_that_end_later_get_the_right_replies(NbdHeaderStyle style)
    {
        var content = new byte[Size];
        var random = new Random(8);
        random.NextBytes(content);
        var node = new ModelNode((byte[])content.Clone(), BlockLimits.Default) { Later = () => Random.Shared.Next(2) == 0 };
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(style);
        for (var round = 0; round < 20; round++)
        {
            var open = new Dictionary<ulong, RawReply>();
            for (var i = 0; i < 30; i++)
            {
                // Each request has a part of the disk of its own.
                var length = random.Next(3) == 0 ? random.Next(66_000, Size / 12) : random.Next(1, 9000);
                var offset = (i * (Size / 30)) + random.Next(10);
                length = Math.Min(length, (Size / 30) - 10);
                var isWrite = random.Next(2) == 0;
                if (isWrite)
                {
                    random.NextBytes(content.AsSpan(offset, length));
                }

                var cookie = isWrite
                    ? client.SendRequest(NbdCommand.Write, (ulong)offset, (ulong)length, PayloadOf(style), content.AsSpan(offset, length))
                    : client.SendRequest(NbdCommand.Read, (ulong)offset, (ulong)length);
                open.Add(cookie, new RawReply(cookie, (ulong)offset, isWrite ? 0 : length));
            }

            while (open.Count > 0)
            {
                var reply = client.ReadNextChunk(open);
                if (reply is not null)
                {
                    Assert.Equal(NbdError.None, reply.Error);
                    Assert.True(reply.Data.AsSpan().SequenceEqual(content.AsSpan((int)reply.Offset, reply.ReadLength)), $"round {round}");
                    open.Remove(reply.Cookie);
                }
            }
        }

        Assert.True(node.Bytes.AsSpan().SequenceEqual(content));
    }

    /// <summary>While a client's requests are in flight no more of them begin than the limit allows; all are answered in the end.</summary>
    [Fact]
    public async Task No_more_requests_begin_than_the_limit_allows()
    {
        var node = new GatedNode(Size);
        await using var disk = new ServedDisk(node, new NbdServerOptions { MaxInFlightRequests = 4 });
        var client = disk.Use(NbdHeaderStyle.Simple);
        var cookies = Enumerable.Range(0, 20).Select(i => client.SendRequest(NbdCommand.Read, (ulong)i * 512, 512)).ToHashSet();
        var answered = 0;
        while (answered < 20)
        {
            var expected = Math.Min(4, 20 - answered);
            Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == expected, 20_000));
            Thread.Sleep(answered == 0 ? 100 : 0);
            Assert.Equal(expected, node.InFlight.Count);
            node.Complete(node.InFlight[^1]);
            Assert.True(cookies.Remove(RawClient.ReadU64(client.Read(16 + 512).AsSpan(8))));
            answered++;
        }
    }

    [Fact]
    public async Task No_more_bytes_are_held_than_the_limit_allows()
    {
        var node = new GatedNode(Size);
        await using var disk = new ServedDisk(node, new NbdServerOptions { MaxInFlightBytes = 400_000 });
        var client = disk.Use(NbdHeaderStyle.Simple);
        for (var i = 0; i < 8; i++)
        {
            client.SendRequest(NbdCommand.Read, 0, 200_000);
        }

        for (var left = 8; left > 0; left--)
        {
            Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == Math.Min(2, left), 20_000));
            Thread.Sleep(left == 8 ? 100 : 0);
            Assert.Equal(Math.Min(2, left), node.InFlight.Count);
            node.Complete(node.InFlight[0]);
            client.Read(16 + 200_000);
        }
    }

    /// <summary>Whatever a request fails with, the client gets an error of the protocol, and no words about the image.</summary>
    [Theory]
    [InlineData(ErrorCode.Io, NbdError.Io)]
    [InlineData(ErrorCode.NoSpace, NbdError.NoSpace)]
    [InlineData(ErrorCode.TooLarge, NbdError.NoSpace)]
    [InlineData(ErrorCode.ReadOnly, NbdError.NotPermitted)]
    [InlineData(ErrorCode.NotSupported, NbdError.Invalid)]
    [InlineData(ErrorCode.Corrupt, NbdError.Io)]
    public async Task Failures_are_told_by_their_number(ErrorCode code, NbdError error)
    {
        var node = new GatedNode(Size);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Structured);
        foreach (var (command, length) in new[] { (NbdCommand.Read, 512), (NbdCommand.Read, 200_000), (NbdCommand.Write, 512), (NbdCommand.Write, 200_000) })
        {
            var cookie = client.SendRequest(
                command, 0, (ulong)length, command == NbdCommand.Read ? NbdCommandFlags.DontFragment : 0, command == NbdCommand.Write ? new byte[length] : []);
            Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
            node.Complete(node.InFlight[0], new BlockException(code, "the secret of /etc/images"));
            var reply = new RawReply(cookie, 0, 0);
            Assert.True(client.ReadChunk(reply));
            Assert.Equal(error, reply.Error);
            Assert.DoesNotContain("secret", reply.Text, StringComparison.Ordinal);
            Assert.Contains(disk.Log, line => error == NbdError.Invalid || line.Contains("secret", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Fast_zeroes_fail_where_they_would_be_written_and_slow_ones_do_not()
    {
        var node = new ModelNode(new byte[Size], BlockLimits.Default) { ZeroesWork = () => false };
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Structured);
        Assert.Equal(NbdError.NotSupported, client.Request(NbdCommand.WriteZeroes, 0, 65536, NbdCommandFlags.FastZero).Error);
        Assert.DoesNotContain(node.Log, line => line.StartsWith("write", StringComparison.Ordinal));
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 0, 65536).Error);
        Assert.Contains(node.Log, line => line.StartsWith("write", StringComparison.Ordinal));
    }

    /// <summary>DISC: what was begun ends and is answered before the connection does.</summary>
    [Fact]
    public async Task Disconnect_waits_for_what_is_in_flight()
    {
        var node = new GatedNode(Size);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.SendRequest(NbdCommand.Write, 0, 4, 0, 1, 2, 3, 4);
        client.SendRequest(NbdCommand.Disconnect, 0, 0);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        node.Complete(node.InFlight[0]);
        client.Read(16);
        client.ExpectEnd();
    }

    /// <summary>A client that breaks the protocol learns of its end at once, not when its requests have ended.</summary>
    [Fact]
    public async Task A_connection_ends_at_once_though_requests_are_in_flight()
    {
        var node = new GatedNode(Size);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.SendRequest(NbdCommand.Read, 0, 512);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        client.Send(new byte[28]);
        client.ExpectEnd();
        Assert.Single(node.InFlight);
        Assert.Equal(1, disk.Server.ConnectionCount); // it is there until its request is not
        node.CompleteAll();
    }

    /// <summary>A flush that one client sends covers what another was told is written.</summary>
    [Fact]
    public async Task A_flush_covers_the_completed_writes_of_all_connections()
    {
        var node = new ModelNode(new byte[Size], BlockLimits.Default);
        await using var disk = new ServedDisk(node, null);
        var writer = disk.Use(NbdHeaderStyle.Simple);
        var flusher = disk.Use(NbdHeaderStyle.Extended);
        writer.WriteData(0, [1, 2, 3]);
        node.TakeLog();
        Assert.Equal(NbdError.None, flusher.Request(NbdCommand.Flush, 0, 0).Error);
        Assert.Equal("sync", node.TakeLog());
        Assert.Equal(NbdError.None, flusher.Request(NbdCommand.Flush, 0, 0).Error);
        Assert.Equal("", node.TakeLog());
    }

    /// <summary>A flush is answered when all is durable, and not before; it fails where that fails.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_flush_is_answered_when_it_has_ended(bool fails)
    {
        var node = new GatedNode(Size) { GatesSyncs = true };
        await using var disk = new ServedDisk(node, null);
        var writer = disk.Use(NbdHeaderStyle.Simple);
        var flusher = disk.Use(NbdHeaderStyle.Simple);
        writer.SendRequest(NbdCommand.Write, 0, 4, 0, 1, 2, 3, 4);
        Complete(node, null);
        Assert.Equal(0u, RawClient.ReadU32(writer.Read(16).AsSpan(4)));
        flusher.SendRequest(NbdCommand.Flush, 0, 0);
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        Assert.Equal(ChannelEvents.None, flusher.Channel.Poll(ChannelEvents.Readable, null, 200));
        Complete(node, fails ? new BlockException(ErrorCode.Io, "broken") : null);
        Assert.Equal(fails ? (uint)NbdError.Io : 0u, RawClient.ReadU32(flusher.Read(16).AsSpan(4)));
        node.GatesSyncs = false; // what failed is flushed again when the disk is closed
    }

    private static void Complete(GatedNode node, Exception? failure)
    {
        Assert.True(SpinWait.SpinUntil(() => node.InFlight.Count == 1, 20_000));
        node.Complete(node.InFlight[0], failure);
    }

    private static NbdCommandFlags PayloadOf(NbdHeaderStyle style) => style == NbdHeaderStyle.Extended ? NbdCommandFlags.PayloadLength : 0;
}
