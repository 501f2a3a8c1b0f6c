using Byre.Interop.Cases;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Interop.Nbd;

/// <summary>A server that is killed and started again in the middle of everything.</summary>
public sealed class ClientRestartTests : IDisposable
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-restart-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("older", false)]
    [Qemu10Data("newer", true)]
    [InlineData("byre", false)]
    public async Task Nobody_notices_but_by_the_time_it_takes(string which, bool blocking)
    {
        var program = which switch { "older" => NbdServers.Older, "newer" => NbdServers.Real, _ => await NbdServers.OursAsync() };
        const int length = 8 << 20;
        await using (var disk = File.Create(Path.Combine(folder, "disk.raw")))
        {
            disk.SetLength(length);
        }

        var model = new byte[length];
        var server = await StartAsync(program);
        var node = await NbdNode.OpenAsync(new NbdNodeOptions
        {
            Client = new NbdClientOptions { Address = NbdAddress.Unix(server.Socket) },
            ReconnectDelay = TimeSpan.FromMinutes(2),
            Blocking = blocking,
        });
        await using (var edge = new BlockEdge(node, ChildRole.None, Everything))
        {
            using var stop = new CancellationTokenSource();
            var done = 0;
            var work = Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(async () =>
            {
                var random = new Random(worker);
                for (var i = 0; i < 20 || !stop.IsCancellationRequested; i++)
                {
                    var at = (worker << 21) + random.Next(1 << 20);
                    var bytes = new byte[random.Next(1, 200_000)];
                    if (random.Next(8) == 0)
                    {
                        var extents = new ExtentList();
                        extents.Reset(at, bytes.Length);
                        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
                        foreach (var extent in extents.Items)
                        {
                            Assert.True(
                                extent.State != ExtentState.Zero || !model.AsSpan((int)extent.Start, (int)extent.Length).ContainsAnyExcept((byte)0),
                                $"data at {extent.Start}+{extent.Length} is called zeroes");
                        }
                    }
                    else if (random.Next(8) == 0)
                    {
                        model.AsSpan(at, bytes.Length).Clear();
                        await edge.WriteZeroesAsync(at, bytes.Length, WriteFlags.MayUnmap);
                    }
                    else if (random.Next(2) == 0)
                    {
                        random.NextBytes(bytes);
                        bytes.CopyTo(model, at);
                        await edge.WriteAsync(at, bytes);
                    }
                    else
                    {
                        await edge.ReadAsync(at, bytes);
                        Assert.True(bytes.AsSpan().SequenceEqual(model.AsSpan(at, bytes.Length)), $"{at}+{bytes.Length} differs");
                    }

                    Interlocked.Increment(ref done);
                }
            })));
            for (var i = 0; i < 3; i++)
            {
                // Once some requests are answered by this server, and others are in flight.
                var before = Volatile.Read(ref done);
                while (Volatile.Read(ref done) < before + 40 && !work.IsCompleted)
                {
                    await Task.Delay(2);
                }

                await server.SignalAsync("KILL");
                await server.WaitAsync();
                await server.DisposeAsync();
                File.Delete(NbdServerProcess.SocketIn(folder));
                await Task.Delay(50);
                server = await StartAsync(program);
            }

            await stop.CancelAsync();
            await work.WaitAsync(TimeSpan.FromMinutes(3));
            await edge.FlushAsync();
        }

        await server.DisposeAsync();
        Assert.Equal(model, await File.ReadAllBytesAsync(Path.Combine(folder, "disk.raw")));
    }

    private Task<NbdServerProcess> StartAsync(string program) =>
        NbdServerProcess.StartAsync(program, folder, PeerServer.Qemu(folder, "raw", "disk.raw"));
}
