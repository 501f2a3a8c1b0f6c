using System.Net.Sockets;
using Byre.Nbd;
using Byre.Nbd.Client;

namespace Byre.Tests.Nbd.Client;

/// <summary>A server that says what a test's script says. Each connection runs the script on a thread of its own.</summary>
internal sealed class FakeServer : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-fake-").FullName;
    private readonly Socket listening = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly List<FakePeer> peers = [];
    private readonly Thread acceptor;
    private int count;

    public FakeServer(Action<FakePeer> script)
        : this((_, peer) => script(peer))
    {
    }

    public FakeServer(Action<int, FakePeer> script)
    {
        var path = Path.Combine(folder, "s");
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen();
        Address = NbdAddress.Unix(path);
        acceptor = new Thread(() => Accept(script)) { IsBackground = true };
        acceptor.Start();
    }

    public NbdAddress Address { get; }

    /// <summary>How many connections came.</summary>
    public int Connections => Volatile.Read(ref count);

    /// <summary>Options for a client of it, with limits that suit a test.</summary>
    public NbdClientOptions Options => new()
    {
        Address = Address,
        ConnectTimeout = TimeSpan.FromSeconds(20),
        SilenceLimit = TimeSpan.FromSeconds(20),
        MetaContexts = ["base:allocation"],
    };

    public void Dispose()
    {
        if (!Directory.Exists(folder))
        {
            return;
        }

        listening.Dispose();
        lock (peers)
        {
            peers.ForEach(peer => peer.Dispose());
        }

        acceptor.Join(TimeSpan.FromSeconds(20));
        Directory.Delete(folder, recursive: true);
    }

    private void Accept(Action<int, FakePeer> script)
    {
        try
        {
            while (true)
            {
                var peer = new FakePeer(listening.Accept());
                lock (peers)
                {
                    peers.Add(peer);
                }

                var index = Interlocked.Increment(ref count) - 1;
                new Thread(() => Run(script, index, peer)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private static void Run(Action<int, FakePeer> script, int index, FakePeer peer)
    {
        try
        {
            script(index, peer);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or EndOfStreamException)
        {
            // The client has left: that is what many scripts lead to.
        }
    }
}
