using System.Net.Sockets;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Server;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Client;

/// <summary>Callers that send and receive themselves, in turns.</summary>
public sealed class TurnTests
{
    /// <summary>
    /// Somebody receives at any time at which the server may have something to say: else it reads no more, and those who send
    /// wait for ever.
    /// </summary>
    [Fact]
    public async Task Long_reads_and_writes_over_one_connection_never_wait_for_each_other()
    {
        const int Threads = 12, Piece = 3 << 20;
        var folder = Directory.CreateTempSubdirectory("byre-turns-").FullName;
        await using var disk = new BlockEdge(new MemoryNode(Threads * Piece), ChildRole.None, EdgeTests.Everything);
        await using var server = new NbdServer(new NbdServerOptions());
        server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "" }, disk));
        var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(Path.Combine(folder, "s")));
        listening.Listen();
        server.Listen(listening);
        var node = await NbdNode.OpenAsync(new NbdNodeOptions
        {
            Client = new NbdClientOptions { Address = NbdAddress.Unix(Path.Combine(folder, "s")), SilenceLimit = TimeSpan.FromSeconds(30) },
            Blocking = true,
            Connections = 1,
        });
        await using (var edge = new BlockEdge(node, ChildRole.None, EdgeTests.Everything))
        {
            var workers = Enumerable.Range(0, Threads).Select(i => Task.Factory.StartNew(() => Work(edge, i), TaskCreationOptions.LongRunning));
            await Task.WhenAll(workers).WaitAsync(TimeSpan.FromSeconds(100));
        }

        Directory.Delete(folder, recursive: true);

        static void Work(BlockEdge edge, int index)
        {
            var random = new Random(index);
            byte[] mine = new byte[Piece], back = new byte[Piece];
            for (var round = 0; round < 60; round++)
            {
                if (round == 0 || random.Next(2) == 0)
                {
                    random.NextBytes(mine.AsSpan(0, 4096));
                    Wait(edge.WriteAsync(index * (long)Piece, mine));
                }
                else
                {
                    Wait(edge.ReadAsync(index * (long)Piece, back));
                    Assert.True(back.AsSpan().SequenceEqual(mine));
                }
            }
        }

        static void Wait(ValueTask request) => request.AsTask().GetAwaiter().GetResult();
    }
}
