using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Jobs;

/// <summary>Copies of dictated disks, compared with what they must become.</summary>
public sealed class CopyEngineTests
{
    private const int Block = 4096;

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    [InlineData(4, true)]
    [InlineData(5, false)]
    public async Task Random_disks_arrive_whole_whatever_the_options(int seed, bool targetIsZero)
    {
        var random = new Random(seed);
        for (var round = 0; round < 25; round++)
        {
            var sources = new List<BlockEdge>();
            var expected = new List<byte>();
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                var node = new CopyNode(RandomDisk(random)).DescribeZeroes(512 << random.Next(5), random.Next(2) == 0 ? ExtentState.Zero : ExtentState.Absent);
                expected.AddRange(node.Bytes);
                sources.Add(Reader(node));
            }

            var compressed = random.Next(4) == 0;
            var target = new CopyNode(new byte[expected.Count + random.Next(3000)])
            {
                OwnLimits = new BlockLimits { WriteZeroesAlignment = 1 << random.Next(13, 17) },
            };
            if (!targetIsZero)
            {
                random.NextBytes(target.Bytes.AsSpan(0, expected.Count));
            }

            await using var edge = Writer(target);
            var engine = new CopyEngine(sources, edge, new CopyOptions
            {
                Parallel = random.Next(1, 9),
                BufferSize = 1 << random.Next(16, 19),
                TargetIsZero = targetIsZero,
                Compressed = compressed,
                CompressionUnit = compressed ? 1 << random.Next(12, 17) : 0,
                SparseBytes = random.Next(3) switch { 0 => 0, 1 => 4096, _ => 65536 },
                OutOfOrder = random.Next(2) == 0,
                OnCallersThread = random.Next(2) == 0,
            });
            var result = await engine.RunAsync();
            Assert.True(target.Bytes.AsSpan(0, expected.Count).SequenceEqual(expected.ToArray()), $"seed {seed}, round {round}");
            Assert.Equal(expected.Count, result.Length);
            Assert.Equal(expected.Count, result.BytesWritten + result.BytesZeroed + result.BytesSkipped + result.BytesKernelCopied);
            foreach (var source in sources)
            {
                await source.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task What_is_known_to_be_zero_is_never_read()
    {
        var bytes = new byte[64 * Block];
        Array.Fill(bytes, (byte)7, 10 * Block, 3 * Block);
        Array.Fill(bytes, (byte)9, 50 * Block, Block);
        var source = new CopyNode(bytes).DescribeZeroes(Block, ExtentState.Zero);
        var target = new CopyNode(new byte[bytes.Length]);
        var result = await CopyAsync(source, target, new CopyOptions { TargetIsZero = true, Parallel = 1 });
        Assert.Equal([(10 * Block, 3 * Block), (50 * Block, Block)], source.Reads);
        Assert.Equal([(10 * Block, 3 * Block, WriteFlags.None), (50 * Block, Block, WriteFlags.None)], target.Writes);
        Assert.Empty(target.Zeroed);
        Assert.Equal(60 * Block, result.BytesSkipped);
    }

    [Fact]
    public async Task Zeroes_among_data_are_left_out_at_the_wanted_size_only()
    {
        var bytes = new byte[16 * Block];
        Array.Fill(bytes, (byte)1);
        bytes.AsSpan(2 * Block, Block).Clear();
        bytes.AsSpan(8 * Block, 4 * Block).Clear();
        var small = new CopyNode(new byte[bytes.Length]);
        await CopyAsync(new CopyNode(bytes), small, new CopyOptions { TargetIsZero = true });
        Assert.Equal([(0, 2 * Block), (3 * Block, 5 * Block), (12 * Block, 4 * Block)], small.Writes.Select(w => (w.Start, w.Length)));
        var large = new CopyNode(new byte[bytes.Length]);
        await CopyAsync(new CopyNode(bytes), large, new CopyOptions { TargetIsZero = true, SparseBytes = 4 * Block });
        Assert.Equal([(0, 8 * Block), (12 * Block, 4 * Block)], large.Writes.Select(w => (w.Start, w.Length)));
        var never = new CopyNode(new byte[bytes.Length]);
        await CopyAsync(new CopyNode(bytes), never, new CopyOptions { TargetIsZero = true, SparseBytes = 0 });
        Assert.Equal([(0, 16 * Block)], never.Writes.Select(w => (w.Start, w.Length)));
    }

    [Fact]
    public async Task Without_sparse_areas_known_zeroes_are_written_but_not_read()
    {
        var source = new CopyNode(new byte[32 * Block]).DescribeZeroes(Block, ExtentState.Zero);
        var target = new CopyNode(new byte[32 * Block]);
        var result = await CopyAsync(source, target, new CopyOptions { TargetIsZero = true, SparseBytes = 0 });
        Assert.Empty(source.Reads);
        Assert.Equal(32 * Block, result.BytesWritten);
    }

    [Fact]
    public async Task A_target_that_ends_its_old_content_somewhere_gets_zeroes_up_to_there_only()
    {
        var target = new CopyNode(new byte[32 * Block]);
        target.Bytes.AsSpan(0, 10 * Block).Fill(3);
        var result = await CopyAsync(
            new CopyNode(new byte[32 * Block]).DescribeZeroes(32 * Block, ExtentState.Zero), target, new CopyOptions { TargetZeroFrom = 10 * Block });
        Assert.Equal([(0, 10 * Block)], target.Zeroed);
        Assert.Equal(22 * Block, result.BytesSkipped);
        Assert.False(target.Bytes.AsSpan().ContainsAnyExcept((byte)0));
    }

    [Fact]
    public async Task A_node_that_knows_it_is_zero_need_not_be_told_nor_asked()
    {
        await using var source = Reader(new CopyNode(new byte[8 * Block]).DescribeZeroes(Block, ExtentState.Zero));
        await using var target = Writer(new KnownZeroNode(8 * Block));
        var result = await new CopyEngine([source], target, new CopyOptions()).RunAsync();
        Assert.Equal(8 * Block, result.BytesSkipped);
    }

    [Fact]
    public async Task What_only_the_base_has_stays_absent()
    {
        var bottom = new CopyNode(Filled(16 * Block, 1));
        var middle = new CopyNode(Filled(16 * Block, 2)) { BackingEdge = new BlockEdge(bottom, ChildRole.Backing, DefaultPermissions.Reader, "backing") };
        Describe(middle, (4, ExtentState.Absent), (4, ExtentState.Data), (8, ExtentState.Absent));
        var top = new CopyNode(Filled(16 * Block, 3)) { BackingEdge = new BlockEdge(middle, ChildRole.Backing, DefaultPermissions.Reader, "backing") };
        Describe(top, (8, ExtentState.Absent), (4, ExtentState.Zero), (2, ExtentState.Data), (2, ExtentState.Absent));
        await using var source = Reader(top);
        var target = new CopyNode(Filled(16 * Block, 9));
        await using var edge = Writer(target);
        var result = await new CopyEngine([source], edge, new CopyOptions { BelowBase = bottom }).RunAsync();
        Assert.Equal([(4 * Block, 4 * Block), (12 * Block, 2 * Block)], target.Writes.Select(w => (w.Start, w.Length)).Order());
        Assert.Equal([(8 * Block, 4 * Block)], target.Zeroed);
        Assert.Equal(6 * Block, result.BytesSkipped);
    }

    [Fact]
    public async Task Unreadable_sectors_become_zeroes_and_are_told_of()
    {
        var source = new CopyNode(Filled(64 * Block, 5));
        source.BadSectors.UnionWith([3, 100, 101, 511]);
        var target = new CopyNode(new byte[64 * Block]);
        var told = new List<long>();
        var result = await CopyAsync(source, target, new CopyOptions
        {
            Salvage = true,
            BufferSize = 1 << 16,
            Unreadable = (offset, e) =>
            {
                lock (told)
                {
                    Assert.Equal(ErrorCode.Io, e.Code);
                    told.Add(offset);
                }
            },
        });
        Assert.Equal([3 * 512, 100 * 512, 101 * 512, 511 * 512], told.Order());
        Assert.Equal(4 * 512, result.BytesUnreadable);
        for (var sector = 0; sector < 512; sector++)
        {
            Assert.Equal(source.BadSectors.Contains(sector) ? 0 : 5, target.Bytes[(sector * 512) + 17]);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_failed_read_ends_the_copy_with_its_place(bool onCallers)
    {
        var source = new CopyNode(Filled(64 * Block, 5));
        source.BadSectors.Add(300);
        var e = await Assert.ThrowsAsync<BlockException>(
            async () => await CopyAsync(source, new CopyNode(new byte[64 * Block]), new CopyOptions { BufferSize = 1 << 16, OnCallersThread = onCallers }));
        Assert.Equal(ErrorCode.Io, e.Code);
        Assert.StartsWith("error while reading at byte 131072: bad sector", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_failed_write_ends_the_copy_and_keeps_its_code(bool onCallers)
    {
        var e = await Assert.ThrowsAsync<BlockException>(async () => await CopyAsync(
            new CopyNode(Filled(512 * Block, 5)), new CopyNode(new byte[512 * Block]) { FailsWrites = true }, new CopyOptions { BufferSize = 1 << 16, OnCallersThread = onCallers }));
        Assert.Equal(ErrorCode.NoSpace, e.Code);
        Assert.Contains("error while writing at byte ", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_cancelled_copy_stops_between_chunks(bool onCallers)
    {
        using var cancel = new CancellationTokenSource();
        var target = new CopyNode(new byte[1024 * Block]);
        var writes = 0;
        target.OnWrite = () =>
        {
            if (Interlocked.Increment(ref writes) == 3)
            {
                cancel.Cancel();
            }
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await CopyAsync(new CopyNode(Filled(1024 * Block, 5)), target, new CopyOptions { BufferSize = 1 << 16, OnCallersThread = onCallers }, cancel.Token));
        Assert.InRange(writes, 3, 8);
    }

    [Fact]
    public async Task Writes_begin_in_order_unless_any_will_do()
    {
        var target = new CopyNode(new byte[2048 * Block]);
        await CopyAsync(new CopyNode(Filled(2048 * Block, 5)), target, new CopyOptions { BufferSize = 1 << 16, Parallel = 1 });
        Assert.Equal(target.Writes.OrderBy(w => w.Start), target.Writes);
        var order = new WriteOrder(true);
        var passed = new List<int>();
        var second = Task.Run(() =>
        {
            order.Await(1);
            lock (passed)
            {
                passed.Add(1);
            }
        });
        await Task.Delay(20);
        Assert.False(second.IsCompleted);
        lock (passed)
        {
            passed.Add(0);
        }

        order.Await(0);
        await Task.Delay(20);
        Assert.False(second.IsCompleted);
        order.Pass(0);
        await second;
        Assert.Equal([0, 1], passed);
        order.Abandon();
        Assert.Throws<OperationCanceledException>(() => order.Await(7));
    }

    [Fact]
    public async Task Compressed_writes_are_whole_clusters()
    {
        const int Cluster = 1 << 16;
        var random = new Random(4);
        var bytes = new byte[(40 * Cluster) + 1536];
        foreach (var at in new[] { 0, 5 * Cluster + 3 * Block, 11 * Cluster - Block, 30 * Cluster, 40 * Cluster })
        {
            random.NextBytes(bytes.AsSpan(at, Math.Min(2 * Block, bytes.Length - at)));
        }

        var target = new CopyNode(new byte[bytes.Length]);
        await CopyAsync(
            new CopyNode(bytes).DescribeZeroes(Block, ExtentState.Zero), target,
            new CopyOptions { Compressed = true, CompressionUnit = Cluster, TargetIsZero = true });
        Assert.Equal(bytes, target.Bytes);
        Assert.All(target.Writes, w =>
        {
            Assert.Equal(WriteFlags.Compressed, w.Flags);
            Assert.Equal(0, w.Start % Cluster);
            Assert.True(w.Length % Cluster == 0 || w.Start + w.Length == bytes.Length);
        });
        Assert.Equal((6 * Cluster) - Cluster + 1536, target.Writes.Sum(w => w.Length));
    }

    [Fact]
    public async Task Progress_counts_data_only_and_ends_complete()
    {
        var bytes = new byte[256 * Block];
        bytes.AsSpan(0, 16 * Block).Fill(1);
        var seen = new List<CopyProgress>();
        await CopyAsync(
            new CopyNode(bytes).DescribeZeroes(Block, ExtentState.Zero), new CopyNode(new byte[bytes.Length]), new CopyOptions { Progress = new Collector(seen) });
        Assert.Equal(new CopyProgress(0, 16 * Block), seen[0]);
        Assert.Equal(new CopyProgress(16 * Block, 16 * Block), seen[^1]);
        Assert.Equal(1, seen[^1].Fraction);
    }

    [Fact]
    public async Task An_empty_image_of_the_greatest_size_is_done_at_once()
    {
        await using var source = Reader(new MemoryNodeOf16Tib());
        await using var target = Writer(new MemoryNode(16L << 40));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        var result = await new CopyEngine([source], target, new CopyOptions { TargetIsZero = true }).RunAsync();
        Assert.Equal(16L << 40, result.BytesSkipped);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20)); // a walk in steps takes minutes
    }

    [Fact]
    public void A_target_that_is_too_short_is_refused()
    {
        var e = Assert.Throws<BlockException>(() => new CopyEngine([Reader(new CopyNode(new byte[1024]))], Writer(new CopyNode(new byte[512])), new CopyOptions()));
        Assert.Equal(ErrorCode.Invalid, e.Code);
    }

    [Fact]
    public void The_rate_holds_back_what_is_over_it()
    {
        var clock = new FakeTime();
        var rate = new RateLimiter(1000, clock);
        Assert.Equal(TimeSpan.Zero, rate.Book(100)); // the burst
        Assert.Equal(TimeSpan.Zero, rate.Book(500));
        Assert.Equal(0.5, rate.Book(500).TotalSeconds, 3);
        Assert.Equal(1.0, rate.Book(1).TotalSeconds, 3);
        clock.Seconds = 100;
        Assert.Equal(TimeSpan.Zero, rate.Book(1));
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Equal(TimeSpan.Zero, rate.Book(100_000));
        Assert.Throws<OperationCanceledException>(() => rate.Wait(1, cancelled.Token));
    }

    [Fact]
    public async Task A_rate_slows_the_copy_down()
    {
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await CopyAsync(new CopyNode(Filled(128 * Block, 5)), new CopyNode(new byte[128 * Block]), new CopyOptions { RateBytesPerSecond = 1 << 20 });
        Assert.InRange(clock.Elapsed.TotalSeconds, 0.2, 3);
    }

    private static async Task<CopyResult> CopyAsync(CopyNode source, CopyNode target, CopyOptions options, CancellationToken cancellation = default)
    {
        await using var from = Reader(source);
        await using var to = Writer(target);
        return await new CopyEngine([from], to, options).RunAsync(cancellation);
    }

    internal static BlockEdge Reader(BlockNode node) => new(node, ChildRole.None, DefaultPermissions.Reader);

    internal static BlockEdge Writer(BlockNode node) => new(node, ChildRole.None, DefaultPermissions.Writer);

    internal static byte[] Filled(int length, byte value)
    {
        var bytes = new byte[length];
        Array.Fill(bytes, value);
        return bytes;
    }

    private static void Describe(CopyNode node, params (int Blocks, ExtentState State)[] runs)
    {
        long at = 0;
        foreach (var (blocks, state) in runs)
        {
            node.Extents.Add(new BlockExtent(at, blocks * Block, state, ExtentFlags.None, -1, null, 1));
            at += blocks * Block;
        }
    }

    private static byte[] RandomDisk(Random random)
    {
        var bytes = new byte[random.Next(1, 800) * 512];
        for (var n = random.Next(8); n > 0; n--)
        {
            var start = random.Next(bytes.Length);
            random.NextBytes(bytes.AsSpan(start, random.Next(1, Math.Min(1 << random.Next(8, 18), bytes.Length - start) + 1)));
        }

        return bytes;
    }

    private sealed class Collector(List<CopyProgress> seen) : IProgress<CopyProgress>
    {
        public void Report(CopyProgress value) => seen.Add(value);
    }

    private sealed class FakeTime : TimeProvider
    {
        public double Seconds { get; set; } = 1;

        public override long TimestampFrequency => 1_000_000;

        public override long GetTimestamp() => (long)(Seconds * TimestampFrequency);
    }

    private sealed class KnownZeroNode(long length) : BlockNode, IKnownZero
    {
        public override string DriverName => "known-zero";

        public override long Length => length;

        public bool IsKnownZero => true;

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => throw new InvalidOperationException();

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => throw new InvalidOperationException();

        public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags) => throw new InvalidOperationException();

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => throw new InvalidOperationException();
    }

    private sealed class MemoryNodeOf16Tib : BlockNode
    {
        public override string DriverName => "void";

        public override long Length => 16L << 40;

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => throw new InvalidOperationException();

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => throw new InvalidOperationException();

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
        {
            extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Zero, ExtentFlags.Hole, -1, null, 1));
            return default;
        }
    }
}
