using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// The layers from a node down to its deepest backing, and what they say together. A filter is no layer of its own: it is
/// part of the layer below it, and the layer is asked through it.
/// </summary>
/// <remarks>
/// It keeps lists that it uses again, so one caller at a time may ask it; several make one each. It shows the chain as it
/// was when it was made: after a change of the graph make a new one.
/// </remarks>
public sealed class BackingChain
{
    // A deeper layer is asked for at least so much at a time, so that a fragmented layer above it does not cost a question
    // per fragment; the limit bounds what is learned in vain.
    private const long AskAhead = 4 << 20;
    private const int AskAheadLimit = 64;

    private readonly Layer[] layers;
    private readonly bool endsAboveBase;

    /// <summary>Follows the chain down from an edge.</summary>
    /// <param name="top">The edge to the active layer; used for all questions to it, and kept by its owner.</param>
    /// <param name="below">A node of the chain that, with all under it, is left out; null for the whole chain.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the chain meets itself again, or <paramref name="below"/> is no layer of it.
    /// </exception>
    public BackingChain(BlockEdge top, BlockNode? below = null)
    {
        ArgumentNullException.ThrowIfNull(top);
        var edges = new List<BlockEdge>();
        var found = below is null;
        foreach (var edge in Follow(top))
        {
            if (below is not null && IsLayer(edge, below))
            {
                found = true;
                break;
            }

            edges.Add(edge);
        }

        if (!found || edges.Count == 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"'{below!.Name}' is no backing layer of '{top.Node.Name}'.", top.Node.Name);
        }

        layers = new Layer[edges.Count];
        for (var i = 0; i < layers.Length; i++)
        {
            layers[i] = new Layer(edges[i]);
        }

        endsAboveBase = below is not null;
        Layers = edges;
    }

    /// <summary>The edges to the layers, the active one first: the index is the depth less one.</summary>
    public IReadOnlyList<BlockEdge> Layers { get; }

    /// <summary>The active layer's length in bytes.</summary>
    public long Length => layers[0].Edge.Length;

    /// <summary>The layers of a node, the active one first, filters passed over.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: the chain meets itself again.</exception>
    public static IReadOnlyList<BlockNode> LayersOf(BlockNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        var result = new List<BlockNode>();
        var seen = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        for (BlockNode? at = node; at is not null; at = BackingOf(at)?.Node)
        {
            var layer = SkipFilters(at);
            if (!seen.Add(layer))
            {
                throw Loop(node);
            }

            result.Add(layer);
        }

        return result;
    }

    /// <summary>The edge to what a node's reads fall through to, filters above it passed over; null where nothing is.</summary>
    public static BlockEdge? BackingOf(BlockNode node) => (SkipFilters(node) as IBackedNode)?.Backing;

    /// <summary>The node below all filters: the one that has a layer of its own.</summary>
    public static BlockNode SkipFilters(BlockNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        while (node is not IBackedNode && FilteredChild(node) is { } child)
        {
            node = child.Node;
        }

        return node;
    }

    /// <summary>The edge to the first layer with this node name or this file name; null where there is none.</summary>
    public BlockEdge? FindLayer(string name)
    {
        foreach (var edge in Layers)
        {
            if (edge.Node.Name == name || edge.Node.FileName == name || SkipFilters(edge.Node).Name == name)
            {
                return edge;
            }
        }

        return null;
    }

    /// <summary>
    /// Where nobody says anything at an offset, the depth of the last layer that was asked: the one without a backing layer,
    /// or whose backing layer ends before the offset.
    /// </summary>
    /// <param name="offset">An offset in the active layer.</param>
    /// <param name="end">The answer is the same up to here.</param>
    public int DeepestAskedAt(long offset, out long end)
    {
        end = Length;
        for (var i = 1; i < layers.Length; i++)
        {
            var length = layers[i].Edge.Length;
            if (offset >= length)
            {
                return i;
            }

            end = Math.Min(end, length);
        }

        return layers.Length;
    }

    /// <summary>
    /// Answers a question about the active layer's range with what the whole chain says: every extent carries the depth of
    /// the layer that decides it. Where no layer says anything, or a backing layer is asked beyond its end, the extent is
    /// absent with depth 0: it reads as zeroes.
    /// </summary>
    /// <remarks>
    /// In a chain that leaves out its lower layers absent means that those decide; what lies beyond the end of a layer reads
    /// as zeroes without asking them, so it is zero with the depth of that layer.
    /// </remarks>
    /// <param name="extents">The question, inside the active layer, and the answer.</param>
    /// <param name="precision">How hard the layers look.</param>
    public async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        EdgeChecks.Range(layers[0].Edge, layers[0].Edge.Node, extents.Offset, extents.Length);
        if (layers is [{ HasBackedNode: true }] && extents.Count == 0)
        {
            while (!extents.IsFull)
            {
                await layers[0].Edge.GetExtentsAsync(extents, precision).ConfigureAwait(false);
            }

            extents.SetAbsentInChain();
            return;
        }

        foreach (var layer in layers)
        {
            layer.Forget();
        }

        layers[0].OpenEnd = extents.RangeEnd;
        var level = 0;
        while (!AddKnown(extents, ref level))
        {
            await layers[level].AskAsync(extents, level > 0, precision).ConfigureAwait(false);
        }
    }

    /// <summary>Adds what the layers have said already.</summary>
    /// <param name="extents">The question.</param>
    /// <param name="level">The layer that decides at the answer's end, less one: all layers above it are absent up to its open end.</param>
    /// <returns>False where that layer must be asked to go on.</returns>
    private bool AddKnown(ExtentList extents, ref int level)
    {
        while (!extents.IsFull)
        {
            var at = extents.End;
            while (level > 0 && at >= layers[level].OpenEnd)
            {
                level--;
            }

            var layer = layers[level];
            if (level > 0 && at >= layer.Edge.Length)
            {
                extents.Add(endsAboveBase
                    ? new BlockExtent(at, layer.OpenEnd - at, ExtentState.Zero, ExtentFlags.Hole, -1, null, level + 1)
                    : new BlockExtent(at, layer.OpenEnd - at, ExtentState.Absent, ExtentFlags.Hole, -1, null, 0));
                continue;
            }

            if (!layer.Knows(at))
            {
                return false;
            }

            ref readonly var known = ref layer.Current;
            if (known.State != ExtentState.Absent && known.Depth == level + 1 && known.Start == at && known.End <= layer.OpenEnd)
            {
                extents.Add(known);
                continue;
            }

            var extent = known.Slice(at, Math.Min(known.End, layer.OpenEnd));
            if (extent.State != ExtentState.Absent)
            {
                extents.Add(extent with { Depth = level + 1 });
            }
            else if (!layer.HasBackedNode)
            {
                // It has nothing to fall through to, so what it means is not known; reading it is always right.
                extents.Add(extent with { State = ExtentState.Data, HostOffset = -1, HostNode = null, Depth = level + 1 });
            }
            else if (level + 1 == layers.Length)
            {
                extents.Add(extent with { Depth = 0 });
            }
            else
            {
                level++;
                layers[level].OpenEnd = extent.End;
            }
        }

        return true;
    }

    private static List<BlockEdge> Follow(BlockEdge top)
    {
        var result = new List<BlockEdge>();
        var seen = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        for (BlockEdge? edge = top; edge is not null; edge = BackingOf(edge.Node))
        {
            if (!seen.Add(SkipFilters(edge.Node)))
            {
                throw Loop(top.Node);
            }

            result.Add(edge);
        }

        return result;
    }

    private static bool IsLayer(BlockEdge edge, BlockNode node)
    {
        for (var at = edge.Node; ; at = FilteredChild(at)!.Node)
        {
            if (ReferenceEquals(at, node))
            {
                return true;
            }

            if (at is IBackedNode || FilteredChild(at) is null)
            {
                return false;
            }
        }
    }

    private static BlockEdge? FilteredChild(BlockNode node)
    {
        foreach (var child in node.Children)
        {
            if ((child.Role & ChildRole.Filtered) != 0)
            {
                return child;
            }
        }

        return null;
    }

    private static BlockException Loop(BlockNode node) =>
        new(ErrorCode.Invalid, $"The backing chain of '{node.Name}' meets itself again.", node.Name);

    /// <summary>One layer, and what it said last.</summary>
    private sealed class Layer(BlockEdge edge)
    {
        private readonly ExtentList answer = new();
        private int index;

        public BlockEdge Edge => edge;

        /// <summary>The layer can be absent: there is a node in it that falls through.</summary>
        public bool HasBackedNode { get; } = SkipFilters(edge.Node) is IBackedNode;

        /// <summary>The layers above are absent up to here.</summary>
        public long OpenEnd { get; set; }

        public void Forget()
        {
            answer.Reset(0, 1);
            index = 0;
        }

        /// <summary>The extent that <see cref="Knows"/> has found.</summary>
        public ref readonly BlockExtent Current => ref answer.Items[index];

        /// <summary>It has said what is at an offset, which is not before that of the last call.</summary>
        public bool Knows(long at)
        {
            var items = answer.Items;
            while (index < items.Length && items[index].End <= at)
            {
                index++;
            }

            return index < items.Length && items[index].Start <= at;
        }

        /// <summary>Asks the layer what is at the end of an answer.</summary>
        public async ValueTask AskAsync(ExtentList asked, bool ahead, ExtentPrecision precision)
        {
            var at = asked.End;
            var end = ahead ? Math.Min(asked.RangeEnd, Math.Max(OpenEnd, at + AskAhead)) : asked.RangeEnd;
            answer.Reset(at, Math.Min(end, edge.Length) - at, ahead ? AskAheadLimit : asked.Limit);
            index = 0;
            await edge.GetExtentsAsync(answer, precision).ConfigureAwait(false);
            if (answer.Count == 0)
            {
                throw new BlockException(ErrorCode.Io, "The driver gave no answer for extents.", edge.Node.Name, at);
            }
        }
    }
}
