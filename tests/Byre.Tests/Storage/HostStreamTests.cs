using System.Diagnostics;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

public sealed class HostStreamTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-stream-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Bytes_pass_through_a_named_pipe_whole()
    {
        var pipe = MakePipe();
        var sent = new byte[3_000_001];
        new Random(1).NextBytes(sent);
        var writing = Task.Run(() =>
        {
            using var output = HostStream.Open(pipe, writes: true);
            output.Write(sent);
        });
        using var input = HostStream.Open(pipe, writes: false);
        var got = new byte[sent.Length + 10];
        var at = 0;
        for (int n; (n = await input.ReadAsync(got.AsMemory(at), CancellationToken.None)) > 0; at += n)
        {
        }

        await writing;
        Assert.Equal(sent, got[..at]);
    }

    [Fact]
    public async Task A_wait_for_bytes_can_be_cancelled()
    {
        var pipe = MakePipe();
        var opening = Task.Run(() => HostStream.Open(pipe, writes: true));
        using var input = HostStream.Open(pipe, writes: false);
        using var output = await opening;
        using var stop = new CancellationTokenSource();
        var reading = Task.Run(async () => await input.ReadAsync(new byte[10], stop.Token));
        await Task.Delay(50);
        Assert.False(reading.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task What_nobody_reads_any_more_is_told_of()
    {
        var pipe = MakePipe();
        var opening = Task.Run(() => HostStream.Open(pipe, writes: false));
        using var output = HostStream.Open(pipe, writes: true);
        (await opening).Dispose();
        var e = Assert.Throws<BlockException>(() => output.Write(new byte[10]));
        Assert.Equal(32, e.Errno);
        Assert.Equal($"Could not write to '{pipe}': Broken pipe", e.Message);
    }

    [Fact]
    public void Paths_are_told_apart()
    {
        var file = Path.Combine(folder, "file");
        File.WriteAllText(file, "x");
        File.CreateSymbolicLink(Path.Combine(folder, "link"), file);
        Assert.Equal(HostPathKind.File, HostStream.KindOf(file));
        Assert.Equal(HostPathKind.File, HostStream.KindOf(Path.Combine(folder, "link")));
        Assert.Equal(HostPathKind.Directory, HostStream.KindOf(folder));
        Assert.Equal(HostPathKind.Missing, HostStream.KindOf(Path.Combine(folder, "missing")));
        Assert.Equal(HostPathKind.Missing, HostStream.KindOf(""));
        Assert.Equal(HostPathKind.Stream, HostStream.KindOf(MakePipe()));
        Assert.Equal(HostPathKind.Stream, HostStream.KindOf("/dev/null"));
    }

    [Fact]
    public void What_the_runtime_opened_itself_is_no_stream_of_the_program()
    {
        var path = Path.Combine(folder, "file");
        File.WriteAllBytes(path, new byte[100]);
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        var descriptor = (int)file.SafeFileHandle.DangerousGetHandle();
        Assert.Equal(HostPathKind.File, HostStream.KindOf(descriptor));
        Assert.Throws<BlockException>(() => HostStream.OfDescriptor(descriptor, "the runtime's own"));
        Assert.Equal("Could not open '/missing/x': No such file or directory", Assert.Throws<BlockException>(() => HostStream.Open("/missing/x", writes: false)).Message);
    }

    private string MakePipe()
    {
        var path = Path.Combine(folder, "pipe");
        using var make = Process.Start("mkfifo", [path]);
        make.WaitForExit();
        return path;
    }
}
