using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>The sender of callers that send their own requests, at the end of its connection.</summary>
public sealed class TurnSenderTests
{
    private static readonly NbdSession Session = new("a server", NbdHeaderStyle.Simple, new NbdExportFacts { Size = 1 << 20 }, []);

    [Fact]
    public void Nothing_is_sent_behind_the_goodbye_which_is_said_once()
    {
        var (mine, theirs) = SocketChannel.CreatePair();
        using (theirs)
        {
            using (mine)
            using (var sender = new TurnSender(mine, Session, _ => Assert.Fail("it failed")))
            {
                sender.Send(Read());
                sender.SendGoodbye();
                sender.SendGoodbye();
                var late = Read();
                sender.Send(late);
                Assert.False(late.IsBegun);
            }

            var bytes = new byte[1000];
            Assert.True(theirs.ReceiveAll(bytes.AsSpan(0, 2 * NbdRequestHeader.CompactSize)));
            Assert.True(NbdRequestHeader.TryRead(bytes.AsSpan(NbdRequestHeader.CompactSize), NbdHeaderStyle.Simple, out var goodbye));
            Assert.Equal(NbdCommand.Disconnect, goodbye.Command);
            Assert.Equal(0, theirs.Receive(bytes));
        }
    }

    [Fact]
    public async Task A_request_that_cannot_be_sent_fails_whatever_the_server_says_and_ends_the_connection()
    {
        var (mine, theirs) = SocketChannel.CreatePair();
        using (mine)
        {
            theirs.Dispose();
            var told = new List<BlockException>();
            using var sender = new TurnSender(mine, Session, told.Add);
            var request = Read();
            sender.Send(request);
            Assert.Equal(ErrorCode.Disconnected, Assert.Single(told).Code);
            request.MarkReplied(null);
            Assert.Equal(ErrorCode.Disconnected, (await Assert.ThrowsAsync<BlockException>(() => request.AsValueTask().AsTask())).Code);
            var late = Read();
            sender.Send(late);
            Assert.False(late.IsBegun);
        }
    }

    private static NbdRequest Read() => new NbdRequest(null).Set(NbdCommand.Read, NbdCommandFlags.None, 0, 512).Into(new byte[512]);
}
