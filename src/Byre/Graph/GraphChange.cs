using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// A change of a graph that happens as a whole or not at all: changes are collected, prepared (the permissions are solved
/// and every driver takes what it needs, or refuses), then committed or aborted.
/// </summary>
/// <remarks>
/// One change at a time is made of a graph; the others wait in <see cref="BlockGraph.BeginChangeAsync"/>. Who makes one must
/// not dispose edges of the same graph before it has ended. Disposing a change that was not committed aborts it.
/// </remarks>
public sealed class GraphChange : IAsyncDisposable
{
    private readonly BlockGraph graph;
    private readonly List<BlockEdge> added = [];
    private readonly HashSet<BlockEdge> removed = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<BlockEdge, BlockNode> replaced = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<BlockEdge, PermissionSet> wanted = new(ReferenceEqualityComparer.Instance);
    private readonly List<BlockNode> prepared = [];
    private GraphModel? model;
    private PermissionSolution? solution;
    private bool ended;

    internal GraphChange(BlockGraph graph) => this.graph = graph;

    /// <summary>Adds a user's edge to a node. It can be used once the change is committed.</summary>
    /// <param name="node">The node; if the change is aborted and nobody else uses it, it is closed.</param>
    /// <param name="role">What the node is to the user.</param>
    /// <param name="permissions">What the user uses and shares.</param>
    /// <param name="name">The edge's name.</param>
    public BlockEdge Attach(BlockNode node, ChildRole role, PermissionSet permissions, string name = "root")
    {
        CheckCollecting();
        var edge = new BlockEdge(node, role, PermissionSet.Nothing, name);
        added.Add(edge);
        wanted[edge] = permissions;
        return edge;
    }

    /// <summary>Changes what a user's edge uses and shares.</summary>
    public void SetPermissions(BlockEdge edge, PermissionSet permissions)
    {
        CheckCollecting();
        ArgumentNullException.ThrowIfNull(edge);
        if (edge.Parent is not null)
        {
            throw new ArgumentException("The permissions of a node's own edges follow from those of its users.", nameof(edge));
        }

        wanted[edge] = permissions;
    }

    /// <summary>Leads an edge to another node. The old one is closed if nobody else uses it.</summary>
    public void Replace(BlockEdge edge, BlockNode node)
    {
        CheckCollecting();
        ArgumentNullException.ThrowIfNull(edge);
        ArgumentNullException.ThrowIfNull(node);
        replaced[edge] = node;
    }

    /// <summary>Takes an edge away. Its node is closed if nobody else uses it.</summary>
    public void Remove(BlockEdge edge)
    {
        CheckCollecting();
        ArgumentNullException.ThrowIfNull(edge);
        removed.Add(edge);
    }

    /// <summary>Solves the permissions of the graph as it would be, and lets the drivers take what they need.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Locked"/>: two users exclude each other, or another program's lock does;
    /// <see cref="ErrorCode.ReadOnly"/>; <see cref="ErrorCode.Exists"/>: a name is in use. Nothing is changed then.
    /// </exception>
    public void Prepare()
    {
        CheckCollecting();
        model = GraphModel.Of(graph, added, replaced, removed, wanted);
        var result = PermissionSolver.Solve(model.SolverNodes, model.SolverEdges);
        if (result.Conflict is not null)
        {
            model = null;
            throw new BlockException(result.ConflictCode, result.Conflict);
        }

        solution = result;
        try
        {
            for (var i = 0; i < model.Nodes.Count; i++)
            {
                // What nobody will use any more keeps what it has until it is closed.
                if (model.IsUsed(i) && model.Nodes[i].Granted != result.Nodes[i])
                {
                    model.Nodes[i].PreparePermissions(result.Nodes[i]);
                    prepared.Add(model.Nodes[i]);
                }
            }
        }
        catch
        {
            AbortPrepared();
            throw;
        }
    }

    /// <summary>
    /// Makes the change, preparing it first if that was not done. Edges are led elsewhere while their nodes are drained. Nodes
    /// that lost their last user are closed at the end.
    /// </summary>
    /// <exception cref="BlockException">As <see cref="Prepare"/>; or a node could not be closed properly: the change is made.</exception>
    public async ValueTask CommitAsync()
    {
        if (solution is null)
        {
            Prepare();
        }

        var drains = new List<Drain>();
        var unused = new List<BlockNode>();
        try
        {
            foreach (var edge in replaced.Keys)
            {
                drains.Add(await Drain.BeginAsync(edge.Node).ConfigureAwait(false));
            }

            Apply(unused);
        }
        finally
        {
            foreach (var drain in drains)
            {
                await drain.DisposeAsync().ConfigureAwait(false);
            }
        }

        ended = true;
        graph.EndChange();
        await BlockGraph.CloseAsync(unused).ConfigureAwait(false);
    }

    /// <summary>Gives the change up. Nodes that it alone used are closed.</summary>
    public async ValueTask AbortAsync()
    {
        if (ended)
        {
            return;
        }

        ended = true;
        AbortPrepared();
        var unused = new List<BlockNode>();
        foreach (var edge in added)
        {
            if (edge.LeaveNode())
            {
                unused.Add(edge.Node);
            }
        }

        graph.EndChange();
        await BlockGraph.CloseAsync(unused).ConfigureAwait(false);
    }

    /// <summary>Aborts the change unless it was committed.</summary>
    public ValueTask DisposeAsync() => AbortAsync();

    /// <summary>Prepares to take edges away without asking anybody, and without changing any permissions.</summary>
    internal void RemoveOnly()
    {
        model = GraphModel.Empty;
        solution = new PermissionSolution([], [], null, default);
    }

    private void Apply(List<BlockNode> unused)
    {
        foreach (var (edge, node) in replaced)
        {
            var old = edge.Node;
            node.AddParent(edge);
            edge.Node = node;
            if (old.RemoveParent(edge))
            {
                unused.Add(old);
            }
        }

        foreach (var edge in removed)
        {
            if (edge.LeaveNode())
            {
                unused.Add(edge.Node);
            }
        }

        for (var i = 0; i < model!.Edges.Count; i++)
        {
            model.Edges[i].Permissions = solution!.Edges[i];
        }

        for (var i = 0; i < model.Nodes.Count; i++)
        {
            if (model.IsUsed(i))
            {
                model.Nodes[i].Granted = solution!.Nodes[i];
            }
        }

        graph.Register(model.Nodes);
        foreach (var node in unused)
        {
            graph.Unregister(node);
        }

        foreach (var node in prepared)
        {
            node.CommitPermissions();
        }

        prepared.Clear();
    }

    private void AbortPrepared()
    {
        foreach (var node in prepared)
        {
            node.AbortPermissions();
        }

        prepared.Clear();
        solution = null;
        model = null;
    }

    private void CheckCollecting()
    {
        ObjectDisposedException.ThrowIf(ended, this);
        if (solution is not null)
        {
            throw new InvalidOperationException("The change is prepared: commit or abort it.");
        }
    }
}
