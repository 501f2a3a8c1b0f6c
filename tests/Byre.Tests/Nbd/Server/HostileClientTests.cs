using System.Diagnostics;
using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Server;

/// <summary>Nothing else of the tests runs meanwhile: memory and time are measured.</summary>
[CollectionDefinition(nameof(HostileClientTests), DisableParallelization = true)]
public sealed class HostileClientCollection;

/// <summary>
/// The catalogue of attacks. After each one, and while its connections are still there, a good client reads and writes what is
/// right, memory is bounded, and the server ends in time.
/// </summary>
[Collection(nameof(HostileClientTests))]
public class HostileClientTests
{
    /// <summary>
    /// What the server promises, from the signal to the last thread's end. It is the server's own time: half a second is given to
    /// clients that do not read, so that 1.5 s are left for a machine that is busy. One that was too busy for that once may try
    /// again; a server that waits for its clients fails twice.
    /// </summary>
    private static readonly TimeSpan EndingLimit = TimeSpan.FromSeconds(2);

    private const long MemoryLimit = 256L << 20;

    public static TheoryData<string> Names => [.. HandshakeAttacks.All.Keys, .. RequestAttacks.All.Keys];

    [Fact]
    public void There_are_enough_of_them() => Assert.True(Names.Count >= 60, $"{Names.Count}");

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_client_that(string attack)
    {
        var attempt = HandshakeAttacks.All.TryGetValue(attack, out var one) ? one : RequestAttacks.All[attack];
        var took = await WithstandAsync(attempt);
        took = took < EndingLimit ? took : await WithstandAsync(attempt);
        Assert.True(took < EndingLimit, took.ToString());
    }

    private static async Task<TimeSpan> WithstandAsync(Attack attempt)
    {
        GC.Collect();
        var before = Environment.WorkingSet;
        await using var disk = new ServedDisk(attempt.Options, o => o with { ReadOnly = attempt.IsReadOnly });
        attempt.Run(disk);
        var used = Environment.WorkingSet - before;
        Assert.True(used < MemoryLimit, $"{used >> 20} MiB");
        Serve(disk, attempt);
        var watch = Stopwatch.StartNew();
        await disk.Server.DisposeAsync();
        var took = watch.Elapsed;
        Assert.Equal(0, disk.Server.ConnectionCount);
        Assert.Equal(0, disk.Server.Budget.Used);
        return took;
    }

    /// <summary>A client that connects, or has connected, just as the server ends is sent away and keeps nobody waiting.</summary>
    [Fact]
    public async Task Clients_that_connect_while_the_server_ends_do_not_hold_it()
    {
        var slow = 0;
        for (var round = 0; round < 10; round++)
        {
            await using var disk = new ServedDisk();
            using var stop = new CancellationTokenSource();
            var connecting = Task.Run(() =>
            {
                for (var i = 0; !stop.IsCancellationRequested && i < 20_000; i++)
                {
                    var (mine, theirs) = Byre.Nbd.Transport.SocketChannel.CreatePair();
                    disk.Server.Accept(theirs);
                    mine.Dispose();
                }
            });
            Thread.Sleep(round * 3);
            var watch = Stopwatch.StartNew();
            await disk.Server.DisposeAsync();
            slow += watch.Elapsed < EndingLimit ? 0 : 1;
            Assert.True(slow <= 1, watch.Elapsed.ToString());
            await stop.CancelAsync();
            await connecting;
            Assert.Equal(0, disk.Server.ConnectionCount);
        }
    }

    private static void Serve(ServedDisk disk, Attack attempt)
    {
        var client = Connect(disk);
        var untouched = disk.Content.Length - attempt.Written;
        var reply = client.Request(NbdCommand.Read, (ulong)attempt.Written, (ulong)untouched);
        Assert.Equal(NbdError.None, reply.Error);
        Assert.True(reply.Data.AsSpan().SequenceEqual(disk.Content.AsSpan(attempt.Written)), "the attack has changed the data");
        if (!attempt.IsReadOnly)
        {
            var data = new byte[100_000];
            new Random(1).NextBytes(data);
            Assert.Equal(NbdError.None, client.WriteData(200_000, data, NbdCommandFlags.Fua).Error);
            Assert.True(client.Request(NbdCommand.Read, 200_000, 100_000).Data.AsSpan().SequenceEqual(data));
        }
    }

    /// <summary>The good client is under the same limit for its handshake as others; on a slow machine it tries again.</summary>
    private static RawClient Connect(ServedDisk disk)
    {
        for (var i = 0; ; i++)
        {
            try
            {
                return disk.Use(NbdHeaderStyle.Structured);
            }
            catch (Exception e) when (i < 5 && (e is IOException or Xunit.Sdk.TrueException))
            {
                // It was too slow.
            }
        }
    }
}
