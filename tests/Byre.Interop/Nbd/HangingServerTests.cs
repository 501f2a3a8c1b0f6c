using System.Diagnostics;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Byre.Interop.Signals;

namespace Byre.Interop.Nbd;

/// <summary>Every tool that uses a server ends by a signal while the server does not answer: as that signal ends a program, and soon.</summary>
public sealed partial class HangingServerTests : IDisposable
{
    // The tools give themselves a second to clean up; the rest is for a machine with other work. The server hangs longer.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly string folder = Directory.CreateTempSubdirectory("byre-hanging-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("copy URI target")]
    [InlineData("convert -f raw -O qcow2 URI target")]
    [InlineData("nbdinfo URI")]
    [InlineData("nbddump URI")]
    [InlineData("io -f raw -c quit URI")]
    [InlineData("compare -f raw -F raw source URI")]
    [InlineData("info URI")]
    [InlineData("checksum URI")]
    public Task While_the_server_does_not_greet(string command) => WithEachSignalAsync(async (place, signal) =>
    {
        var path = NbdServerProcess.SocketIn(place);
        using var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen();
        Socket? connection = null;
        await InterruptAsync(command, place, path, signal, async () => connection = await listening.AcceptAsync().WaitAsync(Patience));
        connection?.Dispose();
    });

    [Theory]
    [InlineData("copy URI target")]
    [InlineData("copy --synchronous --connections=1 --threads=1 URI null:")]
    [InlineData("copy source URI")]
    [InlineData("convert -f raw -O qcow2 URI target")]
    [InlineData("convert -n -f raw -O raw source URI")]
    [InlineData("dd -f raw if=URI of=target")]
    [InlineData("nbdinfo URI")]
    [InlineData("nbdinfo --map URI")]
    [InlineData("nbddump URI")]
    [InlineData("io -f raw -c 'read 0 64k' URI")]
    [InlineData("io -f raw -c 'write 0 64k' URI")]
    [InlineData("io -f raw -c 'aio_read 0 64k' -c aio_flush URI")]
    [InlineData("io -f raw -c map URI")]
    [InlineData("compare -f raw -F raw source URI")]
    [InlineData("info URI")]
    [InlineData("map -f raw URI")]
    [InlineData("measure -f raw -O qcow2 URI")]
    [InlineData("bench -f raw -c 10 URI")]
    [InlineData("checksum URI")]
    public Task While_the_server_does_not_answer_a_request(string command) => WithEachSignalAsync(async (place, signal) =>
    {
        var log = Path.Combine(place, "log");
        await using var server = await PeerServer.NbdkitAsync(
            place, "--filter=log", "--filter=delay", "memory", "1M", $"logfile={log}", "rdelay=50", "wdelay=50", "delay-extents=50");
        await InterruptAsync(command, place, server.Socket, signal, async () =>
        {
            for (var watch = Stopwatch.StartNew(); !Request().IsMatch(await File.ReadAllTextAsync(log)); await Task.Delay(10))
            {
                Assert.True(watch.Elapsed < Patience, $"the server is not asked anything: {await File.ReadAllTextAsync(log)}");
            }
        });
    });

    [GeneratedRegex("(Read|Write|Zero|Extents) id=")]
    private static partial Regex Request();

    private Task WithEachSignalAsync(Func<string, int, Task> test) => Task.WhenAll(
        new[] { SignalledProgram.Interrupt, SignalledProgram.Terminate, SignalledProgram.Hangup }.Select(signal => test(Directory.CreateDirectory(Path.Combine(folder, $"{signal}")).FullName, signal)));

    private static async Task InterruptAsync(string command, string place, string socket, int signal, Func<Task> untilItWaits)
    {
        await File.WriteAllBytesAsync(Path.Combine(place, "source"), [.. Enumerable.Range(0, 1 << 20).Select(i => (byte)(i % 251))]);
        var program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");
        var temporary = Directory.CreateDirectory(Path.Combine(place, "tmp")).FullName;
        var words = $"TMPDIR={temporary} exec {program} {command.Replace("URI", $"'nbd+unix:///?socket={socket}'", StringComparison.Ordinal)}";
        using var tool = await SignalledProgram.StartAsync(place, "bash", "-c", words);
        var end = tool.EndAsync();
        var waits = untilItWaits();
        if (await Task.WhenAny(waits, end) == end)
        {
            Assert.Fail($"'{command}' ended before it had to wait: {await end}{await tool.Errors}");
        }

        try
        {
            await waits;
            await Task.Delay(50); // until it waits for the answer, not only has asked
        }
        catch
        {
            await tool.SignalAsync(SignalledProgram.Kill);
            throw;
        }

        var clock = Stopwatch.StartNew();
        await tool.SignalAsync(signal);
        var (status, _) = await end;
        var took = clock.Elapsed;
        Assert.Equal(signal, status); // a shell makes 128 + signal of it
        Assert.True(took < Soon, $"'{command}' took {took} to end");
        Assert.False(File.Exists(Path.Combine(place, "target")), "the target is left");
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));
        Assert.True((await tool.Errors).Split('\n').Length <= 2, await tool.Errors);
    }
}
