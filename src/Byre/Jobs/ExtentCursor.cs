using Byre.Graph;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>Goes through a chain's extents from front to back.</summary>
internal sealed class ExtentCursor
{
    private const long Question = 1L << 30;
    private const int MostExtents = 512;

    private readonly ExtentList answer = new();
    private readonly BackingChain chain;
    private int index;

    /// <summary>Begins at the front.</summary>
    public ExtentCursor(BlockEdge top)
    {
        chain = new BackingChain(top);
        answer.Reset(0, 1);
    }

    /// <summary>The chain's length in bytes.</summary>
    public long Length => chain.Length;

    /// <summary>The layer that an extent's depth means.</summary>
    public BlockNode LayerOf(in BlockExtent extent) => BackingChain.SkipFilters(chain.Layers[extent.Depth - 1].Node);

    /// <summary>What the chain says from an offset on. Offsets never go back.</summary>
    /// <param name="offset">Inside the chain.</param>
    /// <exception cref="BlockException">A layer cannot say it.</exception>
    public async ValueTask<BlockExtent> AtAsync(long offset)
    {
        while (index < answer.Count && answer.Items[index].End <= offset)
        {
            index++;
        }

        if (index == answer.Count)
        {
            answer.Reset(offset, Math.Min(Question, chain.Length - offset), MostExtents);
            index = 0;
            await chain.GetExtentsAsync(answer, ExtentPrecision.Exact).ConfigureAwait(false);
        }

        var extent = answer.Items[index];
        return extent.Slice(offset, extent.End);
    }
}
