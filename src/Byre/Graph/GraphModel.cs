using Byre.Nodes;

namespace Byre.Graph;

/// <summary>A graph as it would be after a change, in the solver's words.</summary>
internal sealed class GraphModel
{
    private readonly Dictionary<BlockNode, int> index = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<BlockEdge, int> parentOf = new(ReferenceEqualityComparer.Instance);
    private readonly List<BlockNode> nodes = [];
    private readonly List<BlockEdge> edges = [];
    private readonly List<SolverEdge> solverEdges = [];

    private readonly HashSet<int> used = [];

    private GraphModel()
    {
    }

    /// <summary>Nothing.</summary>
    public static GraphModel Empty => new();

    /// <summary>The nodes, in the order of <see cref="SolverNodes"/>.</summary>
    public IReadOnlyList<BlockNode> Nodes => nodes;

    /// <summary>The edges, in the order of <see cref="SolverEdges"/>.</summary>
    public IReadOnlyList<BlockEdge> Edges => edges;

    /// <summary>The nodes for the solver.</summary>
    public IReadOnlyList<SolverNode> SolverNodes { get; private set; } = [];

    /// <summary>The edges for the solver.</summary>
    public IReadOnlyList<SolverEdge> SolverEdges => solverEdges;

    /// <summary>The node has a user or a parent.</summary>
    public bool IsUsed(int node) => used.Contains(node);

    /// <summary>Describes the graph after a change, and gives names to nodes that have none.</summary>
    public static GraphModel Of(
        BlockGraph graph,
        List<BlockEdge> added,
        Dictionary<BlockEdge, BlockNode> replaced,
        HashSet<BlockEdge> removed,
        Dictionary<BlockEdge, PermissionSet> wanted)
    {
        var model = new GraphModel();
        foreach (var node in graph.Nodes)
        {
            model.Collect(node, replaced);
        }

        foreach (var edge in added)
        {
            model.Collect(edge.Node, replaced);
        }

        foreach (var node in replaced.Values)
        {
            model.Collect(node, replaced);
        }

        graph.Name(model.nodes);
        var seen = new HashSet<BlockEdge>(ReferenceEqualityComparer.Instance);
        foreach (var node in model.nodes)
        {
            foreach (var edge in node.Parents)
            {
                Add(edge);
            }
        }

        foreach (var edge in replaced.Keys)
        {
            Add(edge);
        }

        var solverNodes = new SolverNode[model.nodes.Count];
        for (var i = 0; i < solverNodes.Length; i++)
        {
            var node = model.nodes[i];
            solverNodes[i] = new SolverNode(DisplayName(node), node.IsReadOnly, node.ForceShare, node.PermissionsForChild);
        }

        model.SolverNodes = solverNodes;
        return model;

        void Add(BlockEdge edge)
        {
            if (removed.Contains(edge) || !seen.Add(edge))
            {
                return;
            }

            var child = replaced.GetValueOrDefault(edge, edge.Node);
            var parent = model.parentOf.GetValueOrDefault(edge, -1);
            if (model.index.TryGetValue(child, out var c))
            {
                model.used.Add(c);
                model.edges.Add(edge);
                model.solverEdges.Add(new(parent, c, edge.Role, edge.Name, wanted.GetValueOrDefault(edge, edge.Permissions)));
            }
        }
    }

    /// <summary>The name a person knows the node by.</summary>
    private static string DisplayName(BlockNode node) =>
        node.Name.StartsWith('#') && node.FileName is { Length: > 0 } file ? file : node.Name;

    private void Collect(BlockNode root, Dictionary<BlockEdge, BlockNode> replaced)
    {
        var open = new Stack<BlockNode>();
        open.Push(root);
        while (open.TryPop(out var node))
        {
            if (index.TryAdd(node, nodes.Count))
            {
                nodes.Add(node);
                foreach (var child in node.Children)
                {
                    parentOf[child] = index[node];
                    open.Push(replaced.GetValueOrDefault(child, child.Node));
                }
            }
        }
    }
}
