using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Server;

/// <summary>Clients change an export's length, several at once.</summary>
public sealed class ResizeTests
{
    private const int Length = 1 << 20;

    [Theory]
    [InlineData(512, 2 << 20)]
    [InlineData(2 << 20, 512)]
    [InlineData(512, 1024)]
    public async Task The_shown_length_is_the_images_when_two_changes_at_once_fail(int first, int second)
    {
        var node = new ResizedNode(Length);
        await using var disk = Serve(node);
        var one = disk.Export.ResizeAsync(first).AsTask();
        var other = disk.Export.ResizeAsync(second).AsTask();
        await node.FailAsync();
        await node.FailAsync();
        await Assert.ThrowsAsync<BlockException>(() => one);
        await Assert.ThrowsAsync<BlockException>(() => other);
        Assert.Equal(Length, disk.Edge.Length);
        Assert.Equal(Length, disk.Export.Size);
    }

    [Theory]
    [InlineData(2 << 20, 512)]
    [InlineData(512, 2 << 20)]
    public async Task A_client_that_shrinks_while_it_grows_the_disk_is_not_shown_what_is_gone(int first, int second)
    {
        var node = new ResizedNode(Length);
        await using var disk = Serve(node);
        var one = disk.Export.ResizeAsync(first).AsTask();
        var other = disk.Export.ResizeAsync(second).AsTask();
        await node.CompleteAsync();
        await one;
        await node.WaitForRequestAsync();
        var shown = disk.Export.Size;
        await node.CompleteAsync();
        await other;
        Assert.Equal(Math.Min(first, second), shown); // the one that was under way shrinks, or had not grown it yet
        Assert.Equal(second, disk.Edge.Length);
        Assert.Equal(second, disk.Export.Size);
    }

    [Fact]
    public async Task The_shown_length_is_the_images_after_many_changes_at_once()
    {
        await using var disk = new ServedDisk(change: o => o with { CanResize = true });
        using var client = disk.Use(NbdHeaderStyle.Simple);
        for (var round = 0; round < 300; round++)
        {
            await Task.WhenAll(Enumerable.Range(1, 8).Select(i => Task.Run(() => disk.Export.ResizeAsync(i * 4096L).AsTask())));
            Assert.Equal(disk.Edge.Length, disk.Export.Size);
        }

        Assert.Equal(NbdError.None, client.Request(NbdCommand.Resize, 512, 0).Error);
        Assert.Equal(512, disk.Export.Size);
    }

    private static ServedDisk Serve(BlockNode node) => new(node, null, o => o with { CanResize = true });

    /// <summary>A disk whose changes of length end when the test says so.</summary>
    private sealed class ResizedNode(long length) : BlockNode
    {
        private readonly SemaphoreSlim arrived = new(0);
        private TaskCompletionSource waiting = new();
        private long length = length;

        public override string DriverName => "resized";

        public override string FileName => "resized";

        public override long Length => Volatile.Read(ref length);

        public async Task WaitForRequestAsync()
        {
            Assert.True(await arrived.WaitAsync(TimeSpan.FromSeconds(20)), "no change of length has come");
            arrived.Release();
        }

        public async Task CompleteAsync()
        {
            Assert.True(await arrived.WaitAsync(TimeSpan.FromSeconds(20)), "no change of length has come");
            waiting.SetResult();
        }

        public async Task FailAsync()
        {
            Assert.True(await arrived.WaitAsync(TimeSpan.FromSeconds(20)), "no change of length has come");
            waiting.SetException(new BlockException(ErrorCode.Io, "no"));
        }

        public override async ValueTask ResizeAsync(long length, Preallocation preallocation)
        {
            waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            arrived.Release();
            await waiting.Task;
            Volatile.Write(ref this.length, length);
        }

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => throw new NotSupportedException();

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => throw new NotSupportedException();

        public override ValueTask SyncAsync() => default;

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => throw new NotSupportedException();
    }
}
