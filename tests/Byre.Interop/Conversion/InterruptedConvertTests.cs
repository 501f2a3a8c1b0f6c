using Byre.Interop.Check;
using Byre.Interop.Img;
using Byre.Interop.Signals;

namespace Byre.Interop.Conversion;

/// <summary>A convert that is told to end: how it ends, and what it leaves.</summary>
public sealed class InterruptedConvertTests : IDisposable
{
    private const int Length = 64 << 20;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-interrupted-").FullName;
    private readonly string source;

    public InterruptedConvertTests()
    {
        source = At("source.raw");
        var bytes = new byte[Length];
        new Random(1).NextBytes(bytes);
        File.WriteAllBytes(source, bytes);
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(SignalledProgram.Interrupt, "qcow2")]
    [InlineData(SignalledProgram.Terminate, "qcow2")]
    [InlineData(SignalledProgram.Hangup, "raw")]
    public async Task A_signal_ends_it_as_that_signal_does_and_removes_the_target(int signal, string format)
    {
        var (status, errors) = await InterruptAsync(signal, "-O", format);
        Assert.Equal(signal, status); // a shell makes 128 + signal of it
        Assert.Equal("byre: convert: interrupted\n", errors);
        Assert.False(File.Exists(At("target")));
    }

    [Fact]
    public async Task A_file_that_was_there_before_stays_as_an_empty_one()
    {
        File.WriteAllBytes(At("target"), new byte[1000]);
        var (status, _) = await InterruptAsync(SignalledProgram.Terminate, "-O", "qcow2");
        Assert.Equal(SignalledProgram.Terminate, status);
        Assert.Equal(0, new FileInfo(At("target")).Length);
    }

    [Fact]
    public async Task A_target_that_is_not_created_stays_as_it_is()
    {
        File.WriteAllBytes(At("target"), new byte[Length]);
        var (status, _) = await InterruptAsync(SignalledProgram.Interrupt, "-n", "-O", "raw");
        Assert.Equal(SignalledProgram.Interrupt, status);
        Assert.Equal(Length, new FileInfo(At("target")).Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("cluster_size=512,extended_l2=off")]
    [InlineData("cluster_size=2M,lazy_refcounts=on,compression_type=zstd")]
    public async Task Killed_it_leaves_an_image_that_nobody_takes_for_a_whole_one(string options)
    {
        var (status, _) = await InterruptAsync(SignalledProgram.Kill, "-O", "qcow2", "-o", $"compat=1.1{(options.Length > 0 ? "," : "")}{options}");
        Assert.Equal(SignalledProgram.Kill, status);
        Assert.True(new FileInfo(At("target")).Length > 0);
        var theirs = QemuImg.Run("qemu-img", "info", At("target"));
        Assert.Equal(1, theirs.Status);
        Assert.Contains(options.StartsWith("cluster_size=512", StringComparison.Ordinal) ? "8000000000000000" : "incomplete copy", theirs.Errors, StringComparison.Ordinal);
        foreach (var verb in new[] { "info", "check", "map" })
        {
            var ours = await Tools.ByreAsync(verb, At("target"));
            Assert.Equal(1, ours.Status);
            Assert.Contains("incomplete", ours.Errors, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("cluster_size=64k")]
    [InlineData("cluster_size=512")]
    [InlineData("cluster_size=2M,extended_l2=on")]
    public async Task Ended_it_leaves_the_header_that_create_writes(string options)
    {
        var small = At("small");
        File.WriteAllBytes(small, new byte[1 << 20]);
        Assert.Equal(0, (await Tools.ByreAsync("convert", "-f", "raw", "-O", "qcow2", "-o", options, small, At("target"))).Status);
        Assert.Equal(0, (await Tools.ByreAsync("create", "-q", "-f", "qcow2", "-o", options, At("created"), "1M")).Status);
        Assert.Equal(File.ReadAllBytes(At("created")), File.ReadAllBytes(At("target")));
    }

    [Fact]
    public async Task A_data_file_made_for_the_target_goes_with_it()
    {
        var (status, _) = await InterruptAsync(SignalledProgram.Interrupt, "-O", "qcow2", "-o", $"data_file={At("data")}");
        Assert.Equal(SignalledProgram.Interrupt, status);
        Assert.Equal([source], Directory.GetFiles(directory));
    }

    private async Task<(int Status, string Errors)> InterruptAsync(int signal, params string[] options)
    {
        var program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");
        using var convert = await SignalledProgram.StartAsync(
            directory, program, ["convert", "-p", "-r", "4M", "-f", "raw", .. options, source, At("target")]);
        var percent = new char[1];
        var seen = new System.Text.StringBuilder();

        // -p tells when something has been written.
        while (!seen.ToString().Contains("    (1", StringComparison.Ordinal) && await convert.Output.ReadAsync(percent.AsMemory()) > 0)
        {
            seen.Append(percent[0]);
        }

        if (!File.Exists(At("target")))
        {
            await convert.SignalAsync(SignalledProgram.Kill);
            Assert.Fail($"nothing is written: {seen}{await convert.Errors}");
        }

        await convert.SignalAsync(signal);
        var (status, _) = await convert.EndAsync();
        return (status, await convert.Errors);
    }

    private string At(string name) => Path.Combine(directory, name);
}
