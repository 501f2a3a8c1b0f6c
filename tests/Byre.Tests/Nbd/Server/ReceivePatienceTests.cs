using Byre.Nbd.Server;
using Byre.Nbd.Transport;

namespace Byre.Tests.Nbd.Server;

public class ReceivePatienceTests
{
    [Fact]
    public void One_processor_is_left_to_those_who_do_not_look()
    {
        var lookers = new ReceivePatience.Lookers();
        for (var i = 1; i < Environment.ProcessorCount; i++)
        {
            Assert.True(lookers.TryEnter());
        }

        Assert.False(lookers.TryEnter());
        lookers.Leave();
        Assert.Equal(Environment.ProcessorCount > 1, lookers.TryEnter());
    }

    /// <summary>Whether it looks or sleeps: what was sent arrives, in order, up to the end; a time that is over is told.</summary>
    [Fact]
    public async Task Everything_arrives_after_short_and_long_waits()
    {
        var (server, client) = SocketChannel.CreatePair();
        using (server)
        using (client)
        {
            var lookers = new ReceivePatience.Lookers();
            var patience = new ReceivePatience(lookers);
            server.SetReceiveTimeout(TimeSpan.FromMilliseconds(50));
            var asking = Task.Run(() =>
            {
                var answer = new byte[1];
                for (var i = 0; i < 5000; i++)
                {
                    if (i % 1000 == 999)
                    {
                        Thread.Sleep(120);
                    }

                    client.Send([(byte)i]);
                    Assert.True(client.ReceiveAll(answer));
                    Assert.Equal((byte)(i + 1), answer[0]);
                }

                client.ShutdownSend();
            });
            var buffer = new byte[16];
            int expired = 0, count;
            for (var i = 0; (count = patience.Receive(server, buffer)) != 0;)
            {
                if (count < 0)
                {
                    expired++;
                    continue;
                }

                Assert.Equal(1, count);
                Assert.Equal((byte)i++, buffer[0]);
                server.Send([(byte)i]);
            }

            await asking;
            Assert.True(expired >= 5, $"{expired} waits were over");
            Assert.Equal(Environment.ProcessorCount > 1, lookers.TryEnter()); // nobody was left looking
        }
    }
}
