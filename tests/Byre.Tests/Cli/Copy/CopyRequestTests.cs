using Byre.Cli.Copy;
using Byre.Cli.Img;

namespace Byre.Tests.Cli.Copy;

public sealed class CopyRequestTests
{
    [Fact]
    public void What_nobody_says_is_as_with_nbdcopy()
    {
        var request = Read("a", "b");
        Assert.Equal((4, 64, 16L << 20, 0), (request.Connections, request.Requests, request.QueueSize, request.Threads));
        Assert.Null(request.RequestSize);
        Assert.Null(request.Sparse);
        Assert.False(request.Flush | request.Allocated | request.TargetIsZero | request.NoExtents | request.Synchronous | request.Progress | request.Verify);
        Assert.Equal(CopyEndKind.Path, request.Source.Kind);
    }

    [Fact]
    public void Options_are_read_in_all_their_forms()
    {
        var request = Read("-C2", "-R", "7", "--threads=3", "-S", "0", "--request-size=65536", "--queue-size=1M", "-p", "--target-is-zero", "a", "null:", "--flush");
        Assert.Equal((2, 7, 3, 0L, 65536, 1L << 20), (request.Connections, request.Requests, request.Threads, request.Sparse, request.RequestSize, request.QueueSize));
        Assert.True(request.Progress && request.TargetIsZero && request.Flush);
        Assert.Null(request.ProgressDescriptor);
        Assert.Equal(9, Read("--progress=9", "a", "b").ProgressDescriptor);
        Assert.Equal(CopyEndKind.Null, request.Target.Kind);
    }

    [Theory]
    [InlineData("-", "Standard")]
    [InlineData("null:", "Null")]
    [InlineData("nbd://localhost", "Image")]
    [InlineData("nbds+unix:///?socket=s", "Image")]
    [InlineData("nbd:localhost:10809", "Image")]
    [InlineData("nbd+tcp://localhost", "Image")]
    [InlineData("nbd+vsock://2:1/", "Image")]
    [InlineData("json:{}", "Image")]
    [InlineData("a:b", "Path")]
    [InlineData("http://x/", "Path")]
    [InlineData("]", "Path")]
    [InlineData("./nbd:x", "Path")]
    public void A_word_is_told_by_its_look(string word, string kind) => Assert.Equal(Enum.Parse<CopyEndKind>(kind), Read(word, "x").Source.Kind);

    [Fact]
    public void Commands_stand_in_brackets()
    {
        var request = Read("--", "[", "nbdkit", "-r", "memory", "1G", "]", "[", "qemu-nbd", "x", "]");
        Assert.Equal(["nbdkit", "-r", "memory", "1G"], request.Source.Words);
        Assert.Equal(["qemu-nbd", "x"], request.Target.Words);
        Assert.Equal("[ qemu-nbd x ]", request.Target.Title);
        Assert.Throws<ImgUsageException>(() => Read("--", "[", "nbdkit", "x"));
        Assert.Throws<ImgUsageException>(() => Read("--", "a", "[", "b", "]", "c"));
    }

    [Fact]
    public void Options_in_brackets_are_the_commands_and_those_outside_are_not()
    {
        var request = Read("-C2", "[", "qemu-nbd", "-f", "qcow2", "--flush", "--", "x", "]", "--verify", "out");
        Assert.Equal(["qemu-nbd", "-f", "qcow2", "--flush", "--", "x"], request.Source.Words);
        Assert.Equal((2, true, false, null), (request.Connections, request.Verify, request.Flush, request.Source.Format));
        Assert.Equal("out", request.Target.Name);
        Assert.Throws<ImgUsageException>(() => Read("[", "nbdkit", "-r", "out"));
    }

    [Theory]
    [InlineData("-C 0")]
    [InlineData("-R -1")]
    [InlineData("--request-size=2048")]
    [InlineData("--request-size=67108864")]
    [InlineData("--request-size=12288")]
    [InlineData("-S 256")]
    [InlineData("-S 1000")]
    [InlineData("--progress=x")]
    [InlineData("--queue-size=-1")]
    public void Values_out_of_range_are_refused(string option) =>
        Assert.Throws<ImgFailure>(() => Read([.. option.Split(' '), "a", "b"]));

    private static CopyRequest Read(params string[] words) => CopyRequest.Of(CopyRequest.Split(words));
}
