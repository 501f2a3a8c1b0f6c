namespace Byre.Jobs;

/// <summary>Cuts segments into chunks for workers, in the order of the offsets. One caller at a time.</summary>
internal sealed class CopyPlan(ISegmentWalker walker, KernelCopy kernel, CopyPlanOptions options, CopyTally tally) : ICopyPlan
{
    private const long LongestZero = 1L << 30;

    private CopySegment rest;
    private long sequence;
    private bool isOver;

    /// <inheritdoc/>
    public long Length { get; private set; }

    /// <inheritdoc/>
    public async ValueTask<CopyChunk?> NextAsync()
    {
        while (await FillAsync().ConfigureAwait(false))
        {
            switch (rest.Kind)
            {
                case SegmentKind.Skip:
                    tally.Skip(rest.Length);
                    rest = default;
                    continue;
                case SegmentKind.Zero when !options.FillsZeroes:
                    if (await TakeZeroAsync().ConfigureAwait(false) is { } zero)
                    {
                        return Number(zero);
                    }

                    continue;
                case SegmentKind.Zero:
                    return Number(Take(Math.Min(rest.End, BufferEnd(rest.Start))));
                default:
                    return Number(await TakeDataAsync().ConfigureAwait(false));
            }
        }

        return null;
    }

    private async ValueTask<CopySegment?> TakeZeroAsync()
    {
        // What the target knows to be zero is left alone; the rest is joined with the zeroes that follow.
        if (rest.End > options.ZeroFrom)
        {
            var known = Math.Max(rest.Start, options.ZeroFrom);
            tally.Skip(rest.End - known);
            rest = rest.Slice(rest.Start, known);
            if (rest.Length == 0)
            {
                return null;
            }
        }

        var zero = Take(Math.Min(rest.End, rest.Start + LongestZero));
        while (zero.Length < LongestZero && await FillAsync().ConfigureAwait(false)
            && rest.Kind == SegmentKind.Zero && rest.Start == zero.End && rest.Start < options.ZeroFrom)
        {
            var more = Take(Math.Min(Math.Min(rest.End, options.ZeroFrom), zero.Start + LongestZero));
            zero = zero with { Length = zero.Length + more.Length };
        }

        return zero;
    }

    private async ValueTask<CopySegment> TakeDataAsync()
    {
        if (kernel.LengthToTry(rest, options.BufferSize) is var inKernel and > 0)
        {
            return Take(rest.Start + inKernel);
        }

        // Neighbours are read together, wherever their bytes lie.
        var end = BufferEnd(rest.Start);
        var data = Take(Math.Min(rest.End, end)) with { HostNode = null };
        while (data.End < end && await FillAsync().ConfigureAwait(false)
            && rest.Kind == SegmentKind.Data && kernel.LengthToTry(rest, options.BufferSize) == 0)
        {
            var more = Take(Math.Min(rest.End, end));
            data = data with { Length = data.Length + more.Length };
        }

        return data;
    }

    private long BufferEnd(long start)
    {
        var next = start - (start % options.BufferSize);
        return next > long.MaxValue - options.BufferSize ? long.MaxValue : next + options.BufferSize;
    }

    private CopySegment Take(long end)
    {
        var taken = rest.Slice(rest.Start, end);
        rest = rest.Slice(end, rest.End);
        return taken;
    }

    private CopyChunk Number(CopySegment segment) => new(sequence++, segment);

    private async ValueTask<bool> FillAsync()
    {
        if (rest.Length == 0 && !isOver)
        {
            var next = await walker.NextAsync().ConfigureAwait(false);
            isOver = next is null;
            rest = next ?? default;
            Length += rest.Length;
        }

        return rest.Length > 0;
    }
}
