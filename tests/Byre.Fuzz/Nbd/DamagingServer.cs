using System.Buffers.Binary;
using System.Net.Sockets;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nbd.Transport;

namespace Byre.Fuzz.Nbd;

/// <summary>Stands between one client and a server, and damages what the server says, at a place of its own.</summary>
internal sealed class DamagingServer : IDisposable
{
    private readonly Socket listening;
    private readonly Thread thread;

    /// <summary>Listens for one client.</summary>
    public DamagingServer(string path, NbdServer server, int seed)
    {
        listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen(1);
        thread = new Thread(() => Run(server, seed)) { IsBackground = true };
        thread.Start();
    }

    public void Dispose()
    {
        thread.Join();
        listening.Dispose();
    }

    private void Run(NbdServer server, int seed)
    {
        using var client = SocketChannel.TakeOver(listening.Accept());
        var (inner, outer) = SocketChannel.CreatePair();
        server.Accept(outer);
        using (inner)
        {
            var forward = new Thread(() => Pump(client, inner, null, 0)) { IsBackground = true };
            forward.Start();
            var random = new Random(seed);

            // Within the handshake, among the replies, or nowhere.
            var place = seed % 10 == 0 ? long.MaxValue : random.Next(2) == 0 ? random.Next(400) : random.Next(40_000);
            Pump(inner, client, new ByteMutator(random), place);
            forward.Join();
        }
    }

    /// <summary>Copies until one side ends, or nothing comes for a while after the damage.</summary>
    private static void Pump(SocketChannel from, SocketChannel to, ByteMutator? mutator, long place)
    {
        var buffer = new byte[4096];
        var total = 0L;
        var isDamaged = false;
        try
        {
            from.SetReceiveTimeout(TimeSpan.FromMilliseconds(200));
            while (true)
            {
                var count = from.Receive(buffer);
                if (count == 0 || (count < 0 && isDamaged))
                {
                    break; // one that waits for more than there is would wait for its own limit
                }

                if (count < 0)
                {
                    continue;
                }

                var bytes = buffer.AsSpan(0, count).ToArray();
                if (mutator is not null && !isDamaged && total + count > place)
                {
                    bytes = mutator.Mutate(bytes, NumbersOf(bytes));
                    isDamaged = true;
                }

                total += count;
                to.Send(bytes);
            }
        }
        catch (IOException)
        {
            // One side has gone.
        }

        from.Shutdown();
        to.Shutdown();
    }

    /// <summary>Where flags, types, lengths and counts of replies begin, or null where no reply does.</summary>
    private static List<int>? NumbersOf(byte[] bytes)
    {
        var numbers = new List<int>();
        for (var at = 0; at + sizeof(uint) <= bytes.Length; at++)
        {
            if (BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(at)) is NbdMagic.StructuredReply or NbdMagic.ExtendedReply)
            {
                numbers.AddRange([at + 4, at + 6, at + 16, at + 20, at + 24, at + 28, at + 32, at + 36]);
            }
        }

        return numbers.Count > 0 ? numbers : null;
    }
}
