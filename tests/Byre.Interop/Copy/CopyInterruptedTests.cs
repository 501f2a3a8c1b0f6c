using System.Diagnostics;
using Byre.Interop.Check;
using Byre.Interop.Signals;

namespace Byre.Interop.Copy;

/// <summary>A copy that is told to end while it waits for a pipe: how it ends, and what it leaves.</summary>
public sealed class CopyInterruptedTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-copy-interrupted-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(SignalledProgram.Interrupt)]
    [InlineData(SignalledProgram.Terminate)]
    [InlineData(SignalledProgram.Hangup)]
    public async Task A_signal_ends_it_as_that_signal_does_and_removes_the_target(int signal)
    {
        var (status, errors) = await InterruptAsync(signal);
        Assert.Equal(signal, status); // a shell makes 128 + signal of it
        Assert.Equal("byre copy: copy: interrupted\n", errors);
        Assert.False(File.Exists(At("target")));
    }

    [Fact]
    public async Task A_file_that_was_there_before_stays_as_an_empty_one()
    {
        File.WriteAllBytes(At("target"), new byte[1000]);
        var (status, _) = await InterruptAsync(SignalledProgram.Terminate);
        Assert.Equal(SignalledProgram.Terminate, status);
        Assert.Equal(0, new FileInfo(At("target")).Length);
    }

    private async Task<(int Status, string Errors)> InterruptAsync(int signal)
    {
        Assert.Equal(0, QemuImg.Run("mkfifo", At("fifo")).Status);
        var program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");
        using var copy = await SignalledProgram.StartAsync(directory, program, "copy", "--request-size=65536", At("fifo"), At("target"));
        await using var pipe = new FileStream(At("fifo"), FileMode.Open, FileAccess.Write); // waits for the reader
        var bytes = new byte[1 << 20];
        new Random(1).NextBytes(bytes);
        await pipe.WriteAsync(bytes);
        await pipe.FlushAsync();
        var clock = Stopwatch.StartNew();
        while ((!File.Exists(At("target")) || new FileInfo(At("target")).Length < bytes.Length) && clock.Elapsed < TimeSpan.FromSeconds(60))
        {
            await Task.Delay(20);
        }

        Assert.Equal(bytes.Length, new FileInfo(At("target")).Length);
        await copy.SignalAsync(signal);
        var (status, _) = await copy.EndAsync();
        return (status, await copy.Errors);
    }

    private string At(string name) => Path.Combine(directory, name);
}
