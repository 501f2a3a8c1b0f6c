using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Jobs;

/// <summary>Copies out of pipes and into what is written from front to back; zeroes that keep their space.</summary>
public sealed class CopyStreamTests
{
    private const int Block = 4096;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task What_comes_out_of_an_input_arrives_whole(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 20; round++)
        {
            var bytes = HalfEmpty(random);
            var target = new CopyNode(new byte[bytes.Length + random.Next(3000)]);
            random.NextBytes(target.Bytes.AsSpan(0, bytes.Length));
            await using var edge = Writer(target);
            var result = await new CopyEngine(new Input(bytes, random), edge, new CopyOptions
            {
                Parallel = random.Next(1, 9),
                WaitsForPeers = random.Next(2) == 0,
                BufferSize = 1 << random.Next(12, 18),
                SparseBytes = random.Next(2) == 0 ? 0 : 4096,
                OutOfOrder = random.Next(2) == 0,
            }).RunAsync();
            Assert.True(target.Bytes.AsSpan(0, bytes.Length).SequenceEqual(bytes), $"seed {seed}, round {round}");
            Assert.Equal(bytes.Length, result.Length);
            Assert.Equal(bytes.Length, result.BytesRead);
            Assert.Equal(bytes.Length, result.BytesWritten + result.BytesZeroed);
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task A_sequential_target_gets_its_bytes_in_order(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 20; round++)
        {
            var bytes = HalfEmpty(random);
            var output = new Output();
            await using var edge = Writer(new SequentialNode("pipe", output));
            await using var source = Reader(new CopyNode(bytes).DescribeZeroes(Block, ExtentState.Zero));
            var options = new CopyOptions
            {
                Parallel = random.Next(1, 9),
                WaitsForPeers = true,
                BufferSize = 1 << random.Next(12, 16),
                SparseBytes = random.Next(2) == 0 ? 0 : 4096,
                KeepsHoles = random.Next(2) == 0,
                Sequential = true,
            };
            var engine = random.Next(2) == 0 ? new CopyEngine([source], edge, options) : new CopyEngine(new Input(bytes, random), edge, options);
            await engine.RunAsync();
            Assert.True(output.Bytes.ToArray().AsSpan().SequenceEqual(bytes), $"seed {seed}, round {round}");
            Assert.Equal(bytes.Length, edge.Length);
        }
    }

    [Fact]
    public async Task A_sequential_node_takes_no_other_order()
    {
        await using var edge = Writer(new SequentialNode("pipe", new Output()));
        await edge.WriteAsync(0, new byte[100]);
        var e = await Assert.ThrowsAsync<BlockException>(async () => await edge.WriteAsync(200, new byte[100]));
        Assert.Equal("'pipe' is written from front to back: it is at byte 100, not 200", e.Message);
        await Assert.ThrowsAsync<BlockException>(async () => await edge.WriteZeroesAsync(0, 100));
        await Assert.ThrowsAsync<BlockException>(async () => await edge.ReadAsync(0, new byte[10]));
        Assert.Equal(100, edge.Length);
    }

    [Fact]
    public async Task An_input_too_long_for_its_target_fails_and_leaves_what_is_behind_alone()
    {
        var target = new CopyNode(new byte[10 * Block]);
        await using var edge = Writer(target);
        var engine = new CopyEngine(new Input(Filled(10 * Block + 1), new Random(1)), edge, new CopyOptions { BufferSize = Block, Parallel = 1 });
        var e = await Assert.ThrowsAsync<BlockException>(async () => await engine.RunAsync());
        Assert.Equal(ErrorCode.NoSpace, e.Code);
        Assert.Equal(10, target.Writes.Count);
    }

    [Fact]
    public async Task An_input_that_fails_says_where()
    {
        await using var edge = Writer(new CopyNode(new byte[10 * Block]));
        var engine = new CopyEngine(new Input(Filled(10 * Block), new Random(1)) { FailsAt = 5000 }, edge, new CopyOptions { BufferSize = Block });
        var e = await Assert.ThrowsAsync<BlockException>(async () => await engine.RunAsync());
        Assert.Equal("error while reading at byte 5000: the pipe is on fire", e.Message);
    }

    [Fact]
    public async Task A_target_that_fails_ends_the_wait_for_an_input()
    {
        await using var edge = Writer(new CopyNode(new byte[10 * Block]) { FailsWrites = true });
        var engine = new CopyEngine(
            new Input(Filled(2 * Block), new Random(1)) { StaysOpen = true }, edge, new CopyOptions { BufferSize = Block, Parallel = 2 });
        var e = await Assert.ThrowsAsync<BlockException>(async () => await engine.RunAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.Equal(ErrorCode.NoSpace, e.Code);
    }

    [Fact]
    public async Task Nobody_knows_how_much_an_input_holds_before_its_end()
    {
        var seen = new List<CopyProgress>();
        await using var edge = Writer(new CopyNode(new byte[4 * Block]));
        await new CopyEngine(new Input(Filled(4 * Block), new Random(1)), edge, new CopyOptions { Progress = new Collector(seen) }).RunAsync();
        Assert.Equal(new CopyProgress(0, -1), seen[0]);
        Assert.Equal(0, seen[0].Fraction);
        Assert.Equal(new CopyProgress(4 * Block, 4 * Block), seen[^1]);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Allocated_zeroes_are_asked_for_without_unmapping_even_where_the_target_is_zero(bool targetIsZero, bool keepsHoles)
    {
        var bytes = new byte[8 * Block];
        Array.Fill(bytes, (byte)1, 2 * Block, Block);
        var target = new CopyNode(new byte[bytes.Length]);
        await using var source = Reader(new CopyNode(bytes).DescribeZeroes(Block, ExtentState.Zero));
        await using var edge = Writer(target);
        var result = await new CopyEngine([source], edge, new CopyOptions
        {
            Allocated = true, TargetIsZero = targetIsZero, KeepsHoles = keepsHoles, SparseBytes = keepsHoles ? 0 : Block,
        }).RunAsync();
        Assert.Equal([(0, 2 * Block), (3 * Block, 5 * Block)], target.Zeroed.Order());
        Assert.All(target.ZeroFlags, flags => Assert.Equal(WriteFlags.None, flags));
        Assert.Equal(0, result.BytesSkipped);
    }

    [Fact]
    public async Task Holes_are_kept_and_data_is_not_looked_at()
    {
        var bytes = new byte[8 * Block];
        Array.Fill(bytes, (byte)1, 2 * Block, Block);
        var node = new CopyNode(bytes);
        node.Extents.Add(new BlockExtent(0, 4 * Block, ExtentState.Data, ExtentFlags.None, -1, null, 1));
        node.Extents.Add(new BlockExtent(4 * Block, 4 * Block, ExtentState.Zero, ExtentFlags.None, -1, null, 1));
        var target = new CopyNode(new byte[bytes.Length]);
        await using var source = Reader(node);
        await using var edge = Writer(target);
        await new CopyEngine([source], edge, new CopyOptions { SparseBytes = 0, KeepsHoles = true }).RunAsync();
        Assert.Equal([(0, 4 * Block, WriteFlags.None)], target.Writes);
        Assert.Equal([(4 * Block, 4 * Block)], target.Zeroed);
        Assert.Equal([WriteFlags.MayUnmap], target.ZeroFlags);
    }

    [Fact]
    public async Task Ignored_extents_are_read()
    {
        var node = new CopyNode(Filled(8 * Block));
        node.Extents.Add(new BlockExtent(0, 8 * Block, ExtentState.Zero, ExtentFlags.None, -1, null, 1)); // a lie
        var target = new CopyNode(new byte[8 * Block]);
        await using var source = Reader(node);
        await using var edge = Writer(target);
        var result = await new CopyEngine([source], edge, new CopyOptions { IgnoresExtents = true }).RunAsync();
        Assert.Equal(node.Bytes, target.Bytes);
        Assert.Equal(8 * Block, result.BytesRead);
    }

    private static BlockEdge Reader(BlockNode node) => new(node, ChildRole.None, DefaultPermissions.Reader);

    private static BlockEdge Writer(BlockNode node) => new(node, ChildRole.None, DefaultPermissions.Writer);

    private static byte[] Filled(int length)
    {
        var bytes = new byte[length];
        Array.Fill(bytes, (byte)7);
        return bytes;
    }

    private static byte[] HalfEmpty(Random random)
    {
        var bytes = new byte[random.Next(1, 500_000)];
        for (var n = random.Next(6); n > 0; n--)
        {
            var start = random.Next(bytes.Length);
            random.NextBytes(bytes.AsSpan(start, random.Next(bytes.Length - start)));
            start = random.Next(bytes.Length);
            bytes.AsSpan(start, random.Next(bytes.Length - start)).Clear();
        }

        return bytes;
    }

    private sealed class Input(byte[] bytes, Random random) : ISequentialInput
    {
        private int position;

        public int FailsAt { get; init; } = -1;

        public bool StaysOpen { get; init; }

        public async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellation)
        {
            if (position == bytes.Length && StaysOpen)
            {
                await Task.Delay(Timeout.Infinite, cancellation);
            }

            if (position == FailsAt)
            {
                throw new BlockException(ErrorCode.Io, "the pipe is on fire");
            }

            var n = Math.Min(Math.Min(buffer.Length, random.Next(1, 70_000)), bytes.Length - position);
            n = FailsAt > position ? Math.Min(n, FailsAt - position) : n;
            bytes.AsSpan(position, n).CopyTo(buffer.Span);
            position += n;
            return n;
        }
    }

    private sealed class Output : ISequentialOutput
    {
        private int writes;

        public MemoryStream Bytes { get; } = new();

        public void Write(ReadOnlySpan<byte> data)
        {
            if (++writes % 4 == 0)
            {
                Thread.Sleep(1); // who comes too early comes now
            }

            Bytes.Write(data);
        }
    }

    private sealed class Collector(List<CopyProgress> seen) : IProgress<CopyProgress>
    {
        public void Report(CopyProgress value) => seen.Add(value);
    }
}
