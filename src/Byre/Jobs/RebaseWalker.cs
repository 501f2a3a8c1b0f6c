using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>
/// Says of each range of an image what must come into it before its backing layer is replaced: what the image has itself, what
/// is zero below it before and after, and what is the same layer's in both chains, needs nothing; zeroes stay zeroes; the
/// rest is data to be compared. One caller at a time.
/// </summary>
internal sealed class RebaseWalker(BlockEdge top, BlockEdge? backing, bool keepsZeroes, Func<BlockNode, BlockNode, bool> isSameImage) : ISegmentWalker
{
    private readonly ExtentCursor before = new(top);
    private readonly ExtentCursor? after = backing is null || backing.Length == 0 ? null : new ExtentCursor(backing);
    private readonly long length = top.Length;
    private long position;

    /// <inheritdoc/>
    public async ValueTask<CopySegment?> NextAsync()
    {
        if (position == length)
        {
            return null;
        }

        var old = await before.AtAsync(position).ConfigureAwait(false);
        var segment = old is { Depth: 1, State: not ExtentState.Absent }
            ? new CopySegment(position, old.Length, SegmentKind.Skip)
            : await CompareAsync(old).ConfigureAwait(false);
        position = segment.End;
        return segment;
    }

    private async ValueTask<CopySegment> CompareAsync(BlockExtent old)
    {
        var becomesZero = true;
        var isSame = false;
        var end = old.End;
        if (after is not null && position < after.Length)
        {
            var next = await after.AtAsync(position).ConfigureAwait(false);
            end = Math.Min(end, next.End);
            becomesZero = next.ReadsAsZero;
            isSame = old.Depth > 0 && next.Depth > 0 && old.State == next.State && old.HostOffset == next.HostOffset
                && isSameImage(before.LayerOf(old), after.LayerOf(next));
        }

        if (isSame || (old.ReadsAsZero && becomesZero))
        {
            return new CopySegment(position, end - position, SegmentKind.Skip);
        }

        if (old.ReadsAsZero && keepsZeroes)
        {
            return new CopySegment(position, end - position, SegmentKind.Zero);
        }

        var mayShare = becomesZero && old.HostOffset >= 0 && (old.Flags & (ExtentFlags.Compressed | ExtentFlags.Encrypted)) == 0;
        return mayShare
            ? new CopySegment(position, end - position, SegmentKind.Data, old.HostNode, old.HostOffset)
            : new CopySegment(position, end - position, SegmentKind.Data);
    }
}
