using System.Runtime.CompilerServices;
using Byre.Graph;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Server.Contexts;

/// <summary>Goes through a chain's mapping once, in ascending order. One caller at a time.</summary>
/// <param name="edge">The edge to the active layer.</param>
internal sealed class MappingCursor(BlockEdge edge)
{
    // The first question is small, since most requests end after a few extents; each later one is larger.
    private const int FirstBatch = 8;
    private const int LastBatch = 1024;

    private readonly ExtentList extents = new();
    private BackingChain? chain;
    private bool[] storesData = [];
    private bool isKnownZero;
    private int index;
    private int batch;
    private long start;

    // The depth of what is absent, and up to where it is that.
    private int absentDepth;
    private long absentEnd;

    /// <summary>Where the present piece ends, as an offset in the node.</summary>
    public long End { get; private set; }

    /// <summary>What base:allocation says of the present piece.</summary>
    /// <remarks>
    /// Hole and zero as QEMU's server tells them: a hole is what no layer stores data for. A qcow2 cluster that reads as zeroes
    /// and keeps its place in the file is a hole in this sense; one that is data, and of which the file below has a hole, is
    /// zero and no hole.
    /// </remarks>
    public NbdAllocation Allocation { get; private set; }

    /// <summary>What qemu:allocation-depth says of the present piece.</summary>
    public int Depth { get; private set; }

    /// <summary>Forgets what was learned: the next question is asked anew.</summary>
    public void Begin()
    {
        (End, start, batch, index, absentEnd) = (0, 0, FirstBatch, 0, 0);
        extents.Reset(0, 1);
        if (chain is null || !IsCurrent(chain))
        {
            chain = new BackingChain(edge);
            storesData = new bool[chain.Layers.Count];
            for (var i = 0; i < storesData.Length; i++)
            {
                storesData[i] = BackingChain.SkipFilters(chain.Layers[i].Node) is IBackedNode;
            }
        }
    }

    /// <summary>The piece at an offset is known without a further question.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryMove(long at)
    {
        if (at >= start && at < End)
        {
            return true;
        }

        var known = extents.Items;
        var i = index;
        while (i < known.Length && known[i].End <= at)
        {
            i++;
        }

        index = i;
        if (i == known.Length || known[i].Start > at)
        {
            return false;
        }

        Take(known[i], at);
        return true;
    }

    /// <summary>Goes to the piece that holds an offset.</summary>
    /// <param name="at">The offset in the node; not before that of the last move.</param>
    /// <param name="end">Nothing is wanted from here on.</param>
    /// <exception cref="BlockException">A layer could not tell.</exception>
    public async ValueTask MoveAsync(long at, long end)
    {
        isKnownZero = edge.Node is IKnownZero { IsKnownZero: true };
        extents.Reset(at, end - at, batch);
        index = 0;
        batch = Math.Min(batch * 8, LastBatch);
        await chain!.GetExtentsAsync(extents, ExtentPrecision.Exact).ConfigureAwait(false);
        if (!TryMove(at))
        {
            throw new BlockException(ErrorCode.Io, $"Nothing is known of the range at {at}", edge.Node.Name, at);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Take(in BlockExtent extent, long at)
    {
        (start, End) = (at, extent.End);
        if (extent.State == ExtentState.Absent)
        {
            // Behind the end of a shorter backing layer that layer decides; elsewhere nobody does.
            if (at >= absentEnd)
            {
                var asked = chain!.DeepestAskedAt(at, out absentEnd);
                absentDepth = asked == storesData.Length ? 0 : asked + 1;
            }

            Depth = absentDepth;
            End = Math.Min(End, absentEnd);
            Allocation = NbdAllocation.Hole | NbdAllocation.Zero;
            return;
        }

        Depth = extent.Behind < 0 ? 0 : extent.Depth + extent.Behind;
        var isZero = extent.State == ExtentState.Zero;
        var isHole = (extent.Flags & ExtentFlags.Reserved) != 0
            || (extent.IsHole && !(isZero && extent.HostOffset >= 0 && storesData[extent.Depth - 1]));
        Allocation = (isHole ? NbdAllocation.Hole : 0) | (isZero || isKnownZero ? NbdAllocation.Zero : 0);
    }

    /// <summary>The graph has not changed since the chain was followed.</summary>
    private bool IsCurrent(BackingChain known)
    {
        BlockEdge? at = edge;
        foreach (var layer in known.Layers)
        {
            if (!ReferenceEquals(at, layer))
            {
                return false;
            }

            at = BackingChain.BackingOf(layer.Node);
        }

        return at is null;
    }
}
