using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using Byre.Graph;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nbd.Transport;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Fuzz.Nbd;

/// <summary>Damaged streams against the server, and against the client. What both allocate is measured.</summary>
[Collection(AloneCollection.Name)]
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "DisposeAsync of IAsyncLifetime disposes of them")]
public sealed class NbdFuzzTests : IAsyncLifetime
{
    private const int Size = 1 << 20;

    // The mean of all sessions is a tenth of this, so that a single allocation of what a peer says it has shows.
    private const long MostAllocated = 1 << 20;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-nbdfuzz-").FullName;
    private readonly ConcurrentQueue<string> log = new();
    private readonly FuzzSessions sessions = new(MostAllocated);
    private NbdServer server = null!;
    private BlockEdge edge = null!;

    public Task InitializeAsync()
    {
        edge = new BlockEdge(new MemoryNode(Size), ChildRole.None, DefaultPermissions.Writer);
        server = new NbdServer(new NbdServerOptions { Log = log.Enqueue });
        server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "x", AllocationDepth = true }, edge));
        var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(Path.Combine(folder, "s")));
        listening.Listen(64);
        server.Listen(listening);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        if (!sessions.Hangs)
        {
            await Task.Run(async () => await server.DisposeAsync()).WaitAsync(Limit);
            await edge.DisposeAsync();
        } // else they would wait for what never ends

        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Whatever a client sends: the server answers or ends the connection, and goes on for others.</summary>
    [Fact]
    public async Task A_server_bears_damaged_clients()
    {
        await sessions.ForSeedsAsync(async seed =>
        {
            var random = new Random(seed);
            var session = new ClientSession(random, Size);
            var sound = session.Make();
            var damaged = seed % 10 == 0 ? sound : new ByteMutator(random).Mutate(sound, session.Numbers);
            var (ours, theirs) = SocketChannel.CreatePair();
            using (ours)
            {
                server.Accept(theirs);
                await FuzzSessions.OnThread(() => Play(ours, damaged));
            }
        });

        Assert.True(SpinWait.SpinUntil(() => server.ConnectionCount == 0, Limit), "connections are left");
        AssertLogIsForPeople();
        await using var client = await NbdClient.ConnectAsync(Options());
        var data = new byte[70_000];
        new Random(1).NextBytes(data);
        await client.WriteAsync(1000, data);
        var read = new byte[data.Length];
        await client.ReadAsync(1000, read);
        Assert.Equal(data, read);
    }

    /// <summary>What is damaged above is sound: otherwise it would end at its first mistake, and nothing behind that were tried.</summary>
    [Fact]
    public async Task A_server_understands_sessions_that_are_not_damaged()
    {
        for (var seed = FuzzSessions.First; seed < FuzzSessions.First + 100; seed++)
        {
            var (ours, theirs) = SocketChannel.CreatePair();
            using (ours)
            {
                server.Accept(theirs);
                await sessions.EndsAsync(seed, FuzzSessions.OnThread(() => Play(ours, new ClientSession(new Random(seed), Size).Make())));
            }
        }

        Assert.True(SpinWait.SpinUntil(() => server.ConnectionCount == 0, Limit), "connections are left");
        Assert.Empty(log);
    }

    /// <summary>Whatever a server answers: the client gives an answer or one clear failure, in bounded time and memory.</summary>
    [Fact]
    public async Task A_client_bears_damaged_servers()
    {
        await sessions.ForSeedsAsync(async seed =>
        {
            var path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"d{seed}"));
            using var damage = new DamagingServer(path, server, seed);
            try
            {
                await TalkAsync(path, seed);
            }
            catch (BlockException e) when (seed % 10 != 0) // the others are not damaged
            {
                Assert.False(e.Message.Contains('\n', StringComparison.Ordinal), $"seed {seed}: {e.Message}");
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"seed {seed}: {e}");
            }
        });
    }

    private static void Play(SocketChannel channel, byte[] bytes)
    {
        var reading = FuzzSessions.OnThread(() =>
        {
            var buffer = new byte[64 << 10];
            try
            {
                while (channel.Receive(buffer) > 0)
                {
                    // What it answers does not matter here.
                }
            }
            catch (IOException)
            {
                // It was cut off.
            }
        });
        try
        {
            channel.Send(bytes);
            channel.ShutdownSend();
        }
        catch (IOException)
        {
            // The server has closed the connection: that is an answer.
        }

        reading.Wait();
    }

    private async Task TalkAsync(string path, int seed)
    {
        var random = new Random(seed);
        await using var client = await NbdClient.ConnectAsync(Options() with
        {
            Address = NbdAddress.Unix(path),
            RequestExtended = random.Next(2) == 0,
            RequestStructured = random.Next(3) > 0,
            MetaContexts = ["base:allocation", "qemu:allocation-depth", "byre:joint"],
        });
        var buffer = new byte[20_000];
        var requests = new List<Task>();
        for (var i = 0; i < 8; i++)
        {
            var offset = random.Next(Size / 2);
            requests.Add(random.Next(5) switch
            {
                0 => client.ReadAsync(offset, new byte[random.Next(1, 20_000)]).AsTask(),
                1 => client.WriteAsync(offset, buffer.AsMemory(0, random.Next(1, 20_000))).AsTask(),
                2 when client.Contexts.Count > 0 => client.BlockStatusAsync(offset, Size / 2, NbdCommandFlags.None, new NbdStatusSink()).AsTask(),
                3 => client.FlushAsync().AsTask(),
                _ => client.TrimAsync(offset, 4096).AsTask(),
            });
        }

        await Task.WhenAll(requests);
    }

    private NbdClientOptions Options() => new()
    {
        Address = NbdAddress.Unix(Path.Combine(folder, "s")),
        ExportName = "x",
        ConnectTimeout = TimeSpan.FromSeconds(20),
        SilenceLimit = TimeSpan.FromSeconds(20),
    };

    /// <summary>A fault of ours would show as a sentence of the runtime: only what the server says of its clients is expected.</summary>
    private void AssertLogIsForPeople() => Assert.All(log, line =>
    {
        Assert.DoesNotContain('\n', line);
        Assert.Matches("^client [0-9]+: (it (sent|asked)|recv: |send: )", line);
    });
}
