using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Snapshots of disks with other lengths, and the VM state that lies behind each.</summary>
public class SnapshotSizeTests
{
    private const int Mebi = 1 << 20;

    [Theory]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=16k,extended_l2=on")]
    [InlineData("cluster_size=64k,lazy_refcounts=on")]
    public async Task A_disk_gets_back_the_length_that_it_had(string options)
    {
        var file = TestImage.Create(2 * Mebi, options);
        var first = TestImage.Bytes(2 * Mebi, 1);
        var second = TestImage.Bytes(5 * Mebi, 2);
        await using (var image = await TestImage.OpenAsync(file))
        {
            var store = (ISnapshotStore)image.Node;
            await image.WriteAsync(0, first);
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = "short" });
            await image.ResizeAsync(5 * Mebi);
            await image.WriteAsync(0, second);
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = "long" });
            await image.ResizeAsync(Mebi);
            await image.DiscardAsync(0, Mebi);
            Assert.Equal(new byte[Mebi], await TestImage.ReadAsync(image, 0, (int)image.Length));
            await store.ApplySnapshotAsync(SnapshotSelector.Of("short"));
            Assert.Equal(first, await TestImage.ReadAsync(image, 0, (int)image.Length));
            await store.ApplySnapshotAsync(SnapshotSelector.Of("long"));
            Assert.Equal(second, await TestImage.ReadAsync(image, 0, (int)image.Length));
            await image.WriteAsync(4 * Mebi, first.AsMemory(0, Mebi));
            await store.ApplySnapshotAsync(SnapshotSelector.Of("short"));
            await image.ResizeAsync(3 * Mebi);
            Assert.Equal(first.Concat(new byte[Mebi]), await TestImage.ReadAsync(image, 0, (int)image.Length));
            await store.DeleteSnapshotAsync(SnapshotSelector.Of("short"));
        }

        await TestImage.CheckAsync(file, options);
        await using var shown = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true, Snapshot = SnapshotSelector.Of("long") });
        Assert.Equal(second, await TestImage.ReadAsync(shown, 0, (int)shown.Length));
    }

    [Theory]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=512")]
    [InlineData("cluster_size=16k,extended_l2=on")]
    [InlineData("cluster_size=4k,compat=0.10")]
    [InlineData("encrypt.format=luks,cluster_size=4k")]
    public async Task Vm_state_goes_with_its_snapshot(string options)
    {
        const int StateLength = 300_000;
        var file = TestImage.Create(Mebi, options);
        var disk = TestImage.Bytes(Mebi, 1);
        var state = TestImage.Bytes(StateLength, 3);
        await using (var image = await TestImage.OpenAsync(file, backing: new MemoryNode(TestImage.Bytes(20 * Mebi, 9))))
        {
            var store = (ISnapshotStore)image.Node;
            var states = (IVmStateStore)image.Node;
            await image.WriteAsync(0, disk);
            Assert.Equal(new byte[1000], await ReadStateAsync(states, 5000, 1000));
            for (var at = 0; at < StateLength; at += 70_000)
            {
                await states.WriteVmStateAsync(at, state.AsMemory(at, Math.Min(70_000, StateLength - at)));
            }

            Assert.Equal(state, await ReadStateAsync(states, 0, StateLength));
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = "running", VmStateSize = StateLength });
            Assert.Equal(new byte[StateLength], await ReadStateAsync(states, 0, StateLength)); // the snapshot has it now
            await states.WriteVmStateAsync(512, new byte[] { 1, 2, 3 });
            Assert.Equal(new byte[] { 0, 1, 2, 3, 0 }, await ReadStateAsync(states, 511, 5));
            Assert.Equal(disk, await TestImage.ReadAsync(image, 0, (int)image.Length));
            await store.ApplySnapshotAsync(SnapshotSelector.Of("running"));
            Assert.Equal(state, await ReadStateAsync(states, 0, StateLength));
            await states.WriteVmStateAsync(100_000, new byte[100]); // copied, as the snapshot's stays as it is
            state.AsSpan(100_000, 100).Clear();
            Assert.Equal(state, await ReadStateAsync(states, 0, StateLength));
            Assert.Equal(disk, await TestImage.ReadAsync(image, 0, (int)image.Length));
        }

        await TestImage.CheckAsync(file, options);
        await using var shown = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true, Snapshot = SnapshotSelector.Of("running") });
        Assert.Equal(TestImage.Bytes(StateLength, 3), await ReadStateAsync((IVmStateStore)shown.Node, 0, StateLength));
        Assert.Equal(
            ErrorCode.ReadOnly,
            (await Assert.ThrowsAsync<BlockException>(async () => await ((IVmStateStore)shown.Node).WriteVmStateAsync(0, new byte[512]))).Code);
    }

    [Fact]
    public async Task Vm_state_is_not_leaked_when_the_disk_is_made_shorter_or_longer()
    {
        var file = TestImage.Create(6 * Mebi, "cluster_size=4k");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await ((IVmStateStore)image.Node).WriteVmStateAsync(0, TestImage.Bytes(100_000, 1));
            await ((ISnapshotStore)image.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "s" });
            await ((IVmStateStore)image.Node).WriteVmStateAsync(50_000, TestImage.Bytes(100_000, 2));
            await image.ResizeAsync(Mebi);
        }

        await TestImage.CheckAsync(file, "shorter");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await ((IVmStateStore)image.Node).WriteVmStateAsync(0, TestImage.Bytes(100_000, 1));
            await image.ResizeAsync(9 * Mebi);
            Assert.Equal(new byte[9 * Mebi], await TestImage.ReadAsync(image, 0, 9 * Mebi));
        }

        await TestImage.CheckAsync(file, "longer");
    }

    [Fact]
    public async Task There_is_an_end_to_vm_state()
    {
        var file = TestImage.Create(Mebi, "cluster_size=512");
        await using var image = await TestImage.OpenAsync(file);
        var states = (IVmStateStore)image.Node;
        foreach (var offset in new[] { 128L << 30, long.MaxValue - 10 })
        {
            Assert.Equal(ErrorCode.TooLarge, (await Assert.ThrowsAsync<BlockException>(async () => await states.WriteVmStateAsync(offset, new byte[512]))).Code);
            Assert.Equal(ErrorCode.TooLarge, (await Assert.ThrowsAsync<BlockException>(async () => await states.ReadVmStateAsync(offset, new byte[512]))).Code);
        }
    }

    private static async Task<byte[]> ReadStateAsync(IVmStateStore store, long offset, int length)
    {
        var bytes = new byte[length];
        await store.ReadVmStateAsync(offset, bytes);
        return bytes;
    }
}
