using System.Buffers.Binary;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;

namespace Byre.Tests.Nbd.Server;

/// <summary>What connections cost; nothing else of the tests runs meanwhile.</summary>
[Collection(nameof(HostileClientTests))]
public class ServerCostTests
{
    [Theory]
    [InlineData(NbdCommand.Read, NbdHeaderStyle.Simple)]
    [InlineData(NbdCommand.Read, NbdHeaderStyle.Extended)]
    [InlineData(NbdCommand.Write, NbdHeaderStyle.Simple)]
    public async Task A_short_request_that_completes_at_once_allocates_nothing(NbdCommand command, NbdHeaderStyle style)
    {
        const int Requests = 20_000;
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        var request = client.RequestBytes(command, 4096, 4096, 0, command == NbdCommand.Write ? new byte[4096] : [], 1);
        var reply = new byte[ReplySize()];
        Exchange(2000);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        Exchange(Requests);
        var each = (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Requests;
        Assert.True(each < 8, $"{each} bytes a request");

        int ReplySize() => command == NbdCommand.Write ? 16 : style == NbdHeaderStyle.Simple ? 16 + 4096 : 40 + 4096;

        void Exchange(int count)
        {
            for (var i = 0; i < count; i++)
            {
                BinaryPrimitives.WriteInt64BigEndian(request.AsSpan(8), i);
                client.Channel.Send(request);
                Assert.True(client.Channel.ReceiveAll(reply));
            }
        }
    }

    /// <summary>A thousand clients that have used the export and rest cost less than 150 MiB in all, with the program itself.</summary>
    [Fact]
    public async Task A_thousand_idle_connections_are_cheap()
    {
        await using var disk = new ServedDisk();
        GC.Collect();
        var before = Environment.WorkingSet;
        var clients = new List<RawClient>();
        for (var i = 0; i < 1000; i++)
        {
            var client = disk.Use(NbdHeaderStyle.Structured);
            Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 4096).Error);
            clients.Add(client);
        }

        Thread.Sleep(2500);
        var used = Environment.WorkingSet - before;
        Assert.True(used < 110L << 20, $"{used >> 20} MiB");
        foreach (var client in clients)
        {
            Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 4096).Error);
        }
    }
}
