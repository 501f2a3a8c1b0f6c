using System.Runtime.ExceptionServices;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>
/// Copies the content of one or more images, one behind the other, to a target. Works from extents: what is zero or absent
/// is never read; data that lies plainly in a host file is shared by the kernel where it can be; the rest passes through
/// threads of the engine's own, which may wait in their calls. Memory is bounded by the threads' buffers. What comes out of a
/// pipe (<see cref="ISequentialInput"/>) is copied likewise, up to its end.
/// </summary>
/// <remarks>
/// The sources must not change meanwhile. Edges stay their owner's. Lock order: the plan's, then none.
/// </remarks>
public sealed class CopyEngine
{
    private const int SmallestBuffer = 4 << 10;
    private const int SmallestAtRate = 64 << 10;
    private const int GreatestBuffer = 32 << 20;
    private const int MostThreads = 64;

    private readonly CopySources sources;
    private readonly ISequentialInput? input;
    private readonly BlockEdge target;
    private readonly CopyOptions options;
    private readonly int bufferSize;
    private readonly long zeroFrom;
    private readonly bool fillsZeroes;
    private readonly int unit;

    /// <summary>Prepares a copy.</summary>
    /// <param name="sources">The sources in their order, at least one.</param>
    /// <param name="target">The target: at least as long as the sources together, or growing when it is written.</param>
    /// <param name="options">How to copy.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the target is too short, or a base or a part is named for several sources;
    /// <see cref="ErrorCode.TooLarge"/>: the sources together are too long.
    /// </exception>
    public CopyEngine(IReadOnlyList<BlockEdge> sources, BlockEdge target, CopyOptions options)
    {
        ArgumentNullException.ThrowIfNull(sources);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(sources.Count, 1);
        CheckRanges(options);
        var isWhole = options is { SourceOffset: 0, SourceLength: long.MaxValue };
        if (!isWhole && sources.Count > 1)
        {
            throw new BlockException(ErrorCode.Invalid, "A part can be copied of a single image only.");
        }

        this.sources = isWhole ? new CopySources(sources) : new CopySources(sources[0], options.SourceOffset, options.SourceLength);
        this.target = target;
        this.options = options;
        if (options.BelowBase is not null && sources.Count > 1)
        {
            throw new BlockException(ErrorCode.Invalid, "A base can be left out of a single image only.");
        }

        if (target.Length < this.sources.Length && !target.Node.GrowsOnWrite)
        {
            throw new BlockException(
                ErrorCode.Invalid, $"The target has {target.Length} bytes; the images to be copied have {this.sources.Length}.", target.Node.Name);
        }

        unit = UnitOf(target, options);
        bufferSize = SizeOfBuffers(options, unit);
        zeroFrom = ZeroFromOf(target, options);
        fillsZeroes = options is { SparseBytes: 0, KeepsHoles: false };
    }

    /// <summary>Prepares a copy of all that comes out of a pipe.</summary>
    /// <param name="input">The pipe; it stays its owner's.</param>
    /// <param name="target">The target. One that does not grow and is too short fails the copy when that shows.</param>
    /// <param name="options">How to copy. What concerns extents, parts and bases of sources means nothing.</param>
    public CopyEngine(ISequentialInput input, BlockEdge target, CopyOptions options)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        CheckRanges(options);
        this.input = input;
        this.target = target;
        this.options = options;
        sources = new CopySources([]);
        unit = UnitOf(target, options);
        bufferSize = SizeOfBuffers(options, unit);
        zeroFrom = ZeroFromOf(target, options);
        fillsZeroes = options is { SparseBytes: 0, KeepsHoles: false };
    }

    /// <summary>The length of all sources together, in bytes; 0 for an input, whose length shows at its end.</summary>
    public long Length => sources.Length;

    /// <summary>Copies everything and flushes the target (unless <see cref="CopyOptions.Flushes"/> says otherwise).</summary>
    /// <param name="cancellation">Ends the copy between two chunks.</param>
    /// <returns>What was done.</returns>
    /// <exception cref="BlockException">A read, a write or the flush failed; the message says which, and at which byte.</exception>
    /// <exception cref="OperationCanceledException">The copy was cancelled; part of the target is written.</exception>
    public async ValueTask<CopyResult> RunAsync(CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        var tally = new CopyTally(options.Progress);
        if (tally.IsWatched)
        {
            tally.Total = input is not null ? -1 : await CountDataAsync(cancellation).ConfigureAwait(false);
            tally.Report();
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var job = MakeState(tally, stop.Token);
        var kernel = job.Kernel;
        ICopyPlan plan = input is not null
            ? new InputPlan(input, target, bufferSize, tally, stop.Token)
            : new CopyPlan(MakeWalker(), kernel, new CopyPlanOptions(bufferSize, zeroFrom, fillsZeroes), tally);
        var threads = new CopyThreads(plan, job, stop);
        var most = options.WaitsForPeers ? MostThreads : Math.Max(2, Environment.ProcessorCount);
        var onCallers = options.OnCallersThread && !Thread.CurrentThread.IsThreadPoolThread;
        if (await threads.RunAsync(Math.Clamp(options.Parallel, 1, most), onCallers).ConfigureAwait(false) is { } failure)
        {
            cancellation.ThrowIfCancellationRequested();
            ExceptionDispatchInfo.Throw(failure);
        }

        if (options.Flushes)
        {
            await target.FlushAsync().ConfigureAwait(false);
        }

        tally.Total = Math.Max(tally.Total, 0);
        tally.Report();
        return tally.ToResult(plan.Length);
    }

    private static void CheckRanges(CopyOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.SparseBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(options.RateBytesPerSecond);
    }

    private static int UnitOf(BlockEdge target, CopyOptions options) => !options.Compressed ? 1
        : options.CompressionUnit > 0 ? options.CompressionUnit
        : (int)Math.Clamp(target.Node.Limits.WriteZeroesAlignment, 512, GreatestBuffer);

    private static long ZeroFromOf(BlockEdge target, CopyOptions options) =>
        options.Walker is not null || options.Allocated ? long.MaxValue
        : options.TargetIsZero || target.Node is IKnownZero { IsKnownZero: true } ? 0
        : options.TargetZeroFrom;

    private static int SizeOfBuffers(CopyOptions options, int unit)
    {
        var wanted = (long)Math.Clamp(options.BufferSize, SmallestBuffer, GreatestBuffer);
        if (options.RateBytesPerSecond > 0)
        {
            wanted = Math.Clamp(options.RateBytesPerSecond / 8, Math.Min(SmallestAtRate, wanted), wanted);
        }

        wanted = Math.Max(SmallestBuffer, wanted / SmallestBuffer * SmallestBuffer);
        return (int)Math.Max(unit, wanted / unit * unit);
    }

    private CopyJobState MakeState(CopyTally tally, CancellationToken stop) => new()
    {
        Sources = sources,
        Target = target,
        Tally = tally,
        Kernel = new KernelCopy(
            target,
            options.CopyRange ? CopyRangeMode.Any : CopyRangeMode.ReflinkOnly,
            !options.Compressed && !options.Writethrough && !options.Sequential && (options.CopyRange || !fillsZeroes),
            options.RateBytesPerSecond > 0),
        Order = new WriteOrder(options.Sequential || !options.OutOfOrder),
        Rate = options.RateBytesPerSecond > 0 ? new RateLimiter(options.RateBytesPerSecond) : null,
        LeaveOut = options.LeaveOut,
        Salvage = options.Salvage ? new SalvageReader(sources, tally) : null,
        Unreadable = options.Unreadable,
        Stop = stop,
        BufferSize = bufferSize,
        Unit = unit,
        Grain = options.SparseBytes == 0 ? 0 : options.Compressed ? unit : options.SparseBytes,
        FillsZeroes = fillsZeroes,
        Sequential = options.Sequential,
        ZeroFrom = zeroFrom,
        ShortestZero = target.Node.Limits.WriteZeroesAlignment,
        WriteFlags = (options.Compressed ? WriteFlags.Compressed : WriteFlags.None) | (options.Writethrough ? WriteFlags.Fua : WriteFlags.None),
        ZeroFlags = (options.Allocated ? WriteFlags.None : WriteFlags.MayUnmap) | (options.Writethrough ? WriteFlags.Fua : WriteFlags.None),
    };

    private ISegmentWalker MakeWalker()
    {
        var walker = options.Walker?.Invoke()
            ?? (options.IgnoresExtents ? new WholeWalker(sources)
                : new ExtentWalker(sources, options.BelowBase, options.Salvage || options.ReadsUnknown));
        return options.Compressed ? new UnitWalker(walker, unit) : walker;
    }

    private async ValueTask<long> CountDataAsync(CancellationToken cancellation)
    {
        var walker = MakeWalker();
        long total = 0;
        while (await walker.NextAsync().ConfigureAwait(false) is { } segment)
        {
            cancellation.ThrowIfCancellationRequested();
            total += segment.Kind == SegmentKind.Data ? segment.Length : 0;
        }

        return total;
    }
}
