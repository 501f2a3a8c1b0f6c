using Byre.Nodes;

namespace Byre.Graph;

/// <summary>The part of a graph that a change concerns, as it would be then, in the solver's words.</summary>
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
        if (replaced.Count == 0)
        {
            model.CollectAffected(added, removed, wanted);
        }
        else
        {
            model.CollectAll(graph, added, replaced);
        }

        graph.Name(model.nodes);
        var seen = new HashSet<BlockEdge>(ReferenceEqualityComparer.Instance);
        var solved = model.nodes.Count;
        for (var i = 0; i < solved; i++)
        {
            foreach (var edge in model.nodes[i].Parents)
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
            var parent = model.parentOf.TryGetValue(edge, out var p) ? p : model.Unchanged(edge.Parent, graph);
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

    /// <summary>
    /// A parent whose own permissions stay as they are: it is in the model for its name, and what it gives its children stays.
    /// </summary>
    private int Unchanged(BlockNode? parent, BlockGraph graph)
    {
        if (parent?.Graph != graph)
        {
            return -1; // a user, or a node that is being opened
        }

        if (index.TryAdd(parent, nodes.Count))
        {
            nodes.Add(parent);
        }

        return index[parent];
    }

    private void CollectAll(BlockGraph graph, List<BlockEdge> added, Dictionary<BlockEdge, BlockNode> replaced)
    {
        foreach (var node in graph.Nodes.Concat(added.Select(e => e.Node)).Concat(replaced.Values))
        {
            Collect(node, replaced);
        }
    }

    /// <summary>
    /// Collects the new nodes, and those for whom anything changes: from the edges that change downwards, as far as what the
    /// parents together use and share is not what it was. A long chain is so not solved again for each layer that it gets.
    /// </summary>
    private void CollectAffected(List<BlockEdge> added, HashSet<BlockEdge> removed, Dictionary<BlockEdge, PermissionSet> wanted)
    {
        var given = new Dictionary<BlockEdge, PermissionSet>(wanted, ReferenceEqualityComparer.Instance);
        var passedOn = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        var open = new Queue<BlockNode>(added.Concat(removed).Select(e => e.Node));
        foreach (var (edge, _) in wanted)
        {
            open.Enqueue(edge.Node);
        }

        while (open.TryDequeue(out var node))
        {
            if (index.TryAdd(node, nodes.Count))
            {
                nodes.Add(node);
                foreach (var child in node.Children)
                {
                    parentOf[child] = index[node];
                }
            }

            var all = PermissionSet.Nothing;
            var isUsed = false;
            foreach (var edge in node.Parents.Where(e => !removed.Contains(e)))
            {
                var set = PermissionSolver.Shared(node.ForceShare, given.GetValueOrDefault(edge, edge.Permissions));
                all = new(all.Used | set.Used, all.Shared & set.Shared);
                isUsed = true;
            }

            if (!isUsed || (node.Graph is not null && all == node.Granted && !passedOn.Contains(node)))
            {
                continue;
            }

            passedOn.Add(node);
            foreach (var child in node.Children)
            {
                var set = PermissionSolver.Shared(child.Node.ForceShare, node.PermissionsForChild(child.Role, all));
                if (node.Graph is null || set != given.GetValueOrDefault(child, child.Permissions))
                {
                    given[child] = set;
                    open.Enqueue(child.Node);
                }
            }
        }
    }

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
