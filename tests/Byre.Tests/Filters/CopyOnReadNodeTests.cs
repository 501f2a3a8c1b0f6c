using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Formats.Qcow2;

namespace Byre.Tests.Filters;

public class CopyOnReadNodeTests
{
    private const int Size = 4 << 20;
    private const int Cluster = 4096;

    [Theory]
    [InlineData("cluster_size=4k")]
    [InlineData("cluster_size=64k,extended_l2=on")]
    public async Task What_was_read_is_present_and_nothing_else_is(string options)
    {
        var backing = new MemoryNode(Pattern());
        var file = TestImage.Create(Size, options);
        await using (var edge = await OpenAsync(file, backing))
        {
            var buffer = new byte[10_000];
            await edge.ReadAsync(100_001, buffer);
            Assert.Equal(Pattern().AsSpan(100_001, buffer.Length).ToArray(), buffer);
            var unit = options.Contains("ext", StringComparison.Ordinal) ? 2048 : Cluster;
            Assert.Equal((100_001 / unit * unit, (110_001 + unit - 1) / unit * unit), await PresentAsync(edge));
            await edge.ReadAsync(0, new byte[Size]);
            Assert.Equal((0, Size), await PresentAsync(edge));
        }

        await TestImage.CheckAsync(file, options);
        await using var alone = await TestImage.OpenAsync(file);
        Assert.Equal(Pattern(), await ReadAllAsync(alone));
    }

    [Fact]
    public async Task Zeroes_are_stored_as_zeroes()
    {
        var content = Pattern();
        content.AsSpan(0, 1 << 20).Clear();
        var file = TestImage.Create(Size, "cluster_size=64k");
        await using var edge = await OpenAsync(file, new MemoryNode(content));
        var before = file.Length;
        await edge.ReadAsync(0, new byte[1 << 20]);
        var extents = new ExtentList();
        extents.Reset(0, 1 << 20);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        Assert.Equal(ExtentState.Zero, Assert.Single(extents.Items.ToArray()).State);
        await edge.FlushAsync();
        Assert.True(file.Length <= before + (2 * 65536), "zeroes took data clusters");
    }

    /// <summary>Writers and readers in the same clusters: a copy that is stored never undoes a write.</summary>
    [Fact]
    public async Task A_write_during_the_copy_is_never_lost()
    {
        for (var round = 0; round < 8; round++)
        {
            var expected = Pattern();
            var file = TestImage.Create(Size, "cluster_size=64k");
            await using var edge = await OpenAsync(file, new SlowNode(new MemoryNode(Pattern())));
            var writes = Enumerable.Range(0, 64).Select(n => Task.Run(async () =>
            {
                // One sector in the middle of each cluster.
                var data = new byte[512];
                data.AsSpan().Fill((byte)(200 + round));
                data.CopyTo(expected, (n * 65536) + 30_208);
                await edge.WriteAsync((n * 65536) + 30_208, data);
            }));
            var reads = Enumerable.Range(0, 64).Select(n => Task.Run(() => edge.ReadAsync(n * 65536, new byte[65536]).AsTask()));
            await Task.WhenAll(reads.Zip(writes, (r, w) => new[] { r, w }).SelectMany(both => both));
            Assert.Equal(expected, await ReadAllAsync(edge));
        }
    }

    [Fact]
    public async Task An_image_that_cannot_be_written_is_refused()
    {
        var file = TestImage.Create(Size, "cluster_size=4k");
        await using var image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true });
        Assert.Equal(ErrorCode.ReadOnly, Assert.Throws<BlockException>(() => new CopyOnReadNode(image)).Code);
    }

    private static async Task<BlockEdge> OpenAsync(MemoryNode file, BlockNode backing)
    {
        var image = await TestImage.OpenAsync(file, backing: backing);
        return new BlockEdge(new CopyOnReadNode(image), ChildRole.None, TestImage.All);
    }

    private static async Task<byte[]> ReadAllAsync(BlockEdge edge)
    {
        var content = new byte[Size];
        await edge.ReadAsync(0, content);
        return content;
    }

    private static byte[] Pattern()
    {
        var content = new byte[Size];
        for (var i = 0; i < Size; i++)
        {
            content[i] = (byte)((i / 512 % 199) + 1);
        }

        return content;
    }

    private static async Task<(long Start, long End)> PresentAsync(BlockEdge edge)
    {
        var extents = new ExtentList();
        extents.Reset(0, Size);
        await edge.GetExtentsAsync(extents, ExtentPrecision.Layer);
        var present = extents.Items.ToArray().Where(e => e.State != ExtentState.Absent).ToArray();
        return (present[0].Start, present[^1].End);
    }

    /// <summary>A backing file that takes its time, so that writes come while it is read.</summary>
    private sealed class SlowNode(BlockNode below) : BlockNode
    {
        public override string DriverName => "slow";

        public override long Length => below.Length;

        public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
        {
            await below.ReadAsync(offset, buffer);
            await Task.Delay(1);
        }

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => throw new NotSupportedException();

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => below.GetExtentsAsync(extents, precision);
    }
}
