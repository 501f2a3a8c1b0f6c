using Byre.Graph;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>Goes through the sources from front to back and says what is to be done with each range. One caller at a time.</summary>
internal sealed class ExtentWalker : ISegmentWalker
{
    // What is asked about at a time: little where there is data (it is copied before the next question), much in the void.
    private const long SmallestQuestion = 256L << 20;
    private const long GreatestQuestion = 4L << 40;
    private const int MostExtents = 512;

    private readonly CopySources sources;
    private readonly BlockNode? below;
    private readonly bool readsUnknown;
    private readonly ExtentList answer = new();
    private BackingChain? chain;
    private int source = -1;
    private int index;
    private long position;
    private long question = SmallestQuestion;
    private bool sourceIsZero;

    /// <summary>Begins before the first range.</summary>
    /// <param name="sources">What is walked.</param>
    /// <param name="below">The layer that, with all under it, is left absent; or null.</param>
    /// <param name="readsUnknown">Where a source cannot say what it has, the range is taken for data; else that ends the walk.</param>
    public ExtentWalker(CopySources sources, BlockNode? below, bool readsUnknown)
    {
        this.sources = sources;
        this.below = below;
        this.readsUnknown = readsUnknown;
        answer.Reset(0, 1);
    }

    /// <inheritdoc/>
    public async ValueTask<CopySegment?> NextAsync()
    {
        while (index == answer.Count)
        {
            if (source < 0 || position == sources.EndOf(source))
            {
                if (!MoveToNextSource())
                {
                    return null;
                }

                continue;
            }

            if (sourceIsZero)
            {
                var start = position;
                position = sources.EndOf(source);
                return new CopySegment(start, position - start, SegmentKind.Zero);
            }

            if (!await AskAsync().ConfigureAwait(false))
            {
                var start = position;
                position = Math.Min(sources.EndOf(source), position + (1 << 20));
                return new CopySegment(start, position - start, SegmentKind.Data);
            }
        }

        var extent = answer.Items[index++];
        position = sources.StartOf(source) + extent.End;
        return Translate(extent);
    }

    private CopySegment Translate(in BlockExtent extent)
    {
        var start = sources.StartOf(source) + extent.Start;
        if (extent.State == ExtentState.Absent && below is not null)
        {
            return new CopySegment(start, extent.Length, SegmentKind.Skip);
        }

        if (extent.ReadsAsZero)
        {
            return new CopySegment(start, extent.Length, SegmentKind.Zero);
        }

        var plain = extent.HostOffset >= 0 && (extent.Flags & (ExtentFlags.Compressed | ExtentFlags.Encrypted)) == 0;
        return plain
            ? new CopySegment(start, extent.Length, SegmentKind.Data, extent.HostNode, extent.HostOffset)
            : new CopySegment(start, extent.Length, SegmentKind.Data);
    }

    private bool MoveToNextSource()
    {
        do
        {
            if (++source == sources.Count)
            {
                return false;
            }
        }
        while (Math.Max(0, sources.StartOf(source)) >= sources.EndOf(source));

        var edge = sources[source];
        position = Math.Max(0, sources.StartOf(source));
        sourceIsZero = below is null && edge.Node is IKnownZero { IsKnownZero: true };
        chain = sourceIsZero ? null : new BackingChain(edge, below);
        question = SmallestQuestion;
        return true;
    }

    private async ValueTask<bool> AskAsync()
    {
        var start = position - sources.StartOf(source);
        answer.Reset(start, Math.Min(question, sources.EndOf(source) - position), MostExtents);
        index = 0;
        try
        {
            await chain!.GetExtentsAsync(answer, ExtentPrecision.Exact).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            answer.Reset(0, 1);
            if (!readsUnknown)
            {
                throw new BlockException(
                    e.Code, $"error while reading block status at offset {position}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
            }

            // The range is read, and told of there if that fails too.
            chain = new BackingChain(sources[source], below);
            return false;
        }

        var isVoid = answer.Count == 1 && answer.Items[0].State != ExtentState.Data;
        question = isVoid ? Math.Min(question * 4, GreatestQuestion) : SmallestQuestion;
        return true;
    }
}
