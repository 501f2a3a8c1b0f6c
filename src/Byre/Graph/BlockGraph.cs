using System.Globalization;
using System.Runtime.ExceptionServices;
using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// Nodes that belong together: their names, and what their users use and share. Programs reach nodes through edges that they
/// get here, so that no two users exclude each other and the drivers hold the locks that the permissions call for.
/// </summary>
/// <remarks>
/// A chain is opened from below: attach an edge to the file (with the permissions that opening the image needs, so that the
/// lock is there before the first byte is read), give the edge to the format's node, attach an edge to that. With this last
/// step the file's edge becomes the node's own, with the permissions that the node's users call for.
/// Lock order: a change in progress, then <c>gate</c>, which is a leaf.
/// </remarks>
#pragma warning disable CA1001 // a SemaphoreSlim whose handle nobody asks for holds nothing
public sealed class BlockGraph
#pragma warning restore CA1001
{
    private readonly Lock gate = new();
    private readonly List<BlockNode> nodes = [];
    private readonly SemaphoreSlim changing = new(1, 1);
    private int lastNumber;

    /// <summary>The nodes, in the order they arrived.</summary>
    public IReadOnlyList<BlockNode> Nodes
    {
        get
        {
            lock (gate)
            {
                return [.. nodes];
            }
        }
    }

    /// <summary>
    /// Adds a user's edge to a node. The node and all below it become part of the graph; those without a name get one. The
    /// node is the graph's from now on: if this fails and nobody else uses it, it is closed.
    /// </summary>
    /// <param name="node">The node.</param>
    /// <param name="role">What it is to the user: for an edge that will be given to a parent node, its role there.</param>
    /// <param name="permissions">What the user uses and shares; see <see cref="DefaultPermissions"/>.</param>
    /// <param name="name">The edge's name: "root", or its name at the parent ("file", "backing").</param>
    /// <exception cref="BlockException">As <see cref="GraphChange.Prepare"/>.</exception>
    public async ValueTask<BlockEdge> AttachAsync(BlockNode node, ChildRole role, PermissionSet permissions, string name = "root")
    {
        var change = await BeginChangeAsync().ConfigureAwait(false);
        await using (change.ConfigureAwait(false))
        {
            var edge = change.Attach(node, role, permissions, name);
            await change.CommitAsync().ConfigureAwait(false);
            return edge;
        }
    }

    /// <summary>Changes what a user's edge uses and shares.</summary>
    /// <exception cref="BlockException">As <see cref="GraphChange.Prepare"/>; the old permissions still hold then.</exception>
    public async ValueTask SetPermissionsAsync(BlockEdge edge, PermissionSet permissions)
    {
        var change = await BeginChangeAsync().ConfigureAwait(false);
        await using (change.ConfigureAwait(false))
        {
            change.SetPermissions(edge, permissions);
            await change.CommitAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Begins a change; waits for the one in progress. Commit it or dispose it.</summary>
    public async ValueTask<GraphChange> BeginChangeAsync()
    {
        await changing.WaitAsync().ConfigureAwait(false);
        return new GraphChange(this);
    }

    /// <summary>The node with a name, or null.</summary>
    public BlockNode? Find(string name)
    {
        lock (gate)
        {
            return nodes.Find(n => n.Name == name);
        }
    }

    /// <summary>Closes nodes that lost their last user; all of them, whatever goes wrong.</summary>
    internal static async ValueTask CloseAsync(IEnumerable<BlockNode> unused)
    {
        Exception? failure = null;
        foreach (var node in unused)
        {
            try
            {
                await node.CloseAsync().ConfigureAwait(false);
            }
            catch (Exception e)
            {
                failure ??= e;
            }
        }

        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>An edge leaves for good. The users that stay may take more from now on.</summary>
    internal async ValueTask DetachAsync(BlockEdge edge)
    {
        var change = await BeginChangeAsync().ConfigureAwait(false);
        await using (change.ConfigureAwait(false))
        {
            try
            {
                change.Remove(edge);
                change.Prepare();
            }
            catch (BlockException)
            {
                // A driver would not give something back, or users outside of the graph exclude each other: all that
                // follows is that those who stay keep what they have.
                change.RemoveOnly();
            }

            await change.CommitAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The change in progress has ended.</summary>
    internal void EndChange() => changing.Release();

    /// <summary>Names nodes that have no name, and checks that no two of the graph and these have the same.</summary>
    internal void Name(IReadOnlyList<BlockNode> all)
    {
        if (all.All(n => n.Graph is not null && n.Name.Length != 0))
        {
            return;
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in Nodes.Concat(all.Where(n => n.Graph is null)))
        {
            if (node.Name.Length != 0 && !names.Add(node.Name))
            {
                throw new BlockException(ErrorCode.Exists, $"Two nodes have the name '{node.Name}'.", node.Name);
            }
        }

        foreach (var node in all)
        {
            while (node.Name.Length == 0)
            {
                var name = string.Create(CultureInfo.InvariantCulture, $"#block{++lastNumber:D3}");
                node.Name = names.Add(name) ? name : "";
            }
        }
    }

    /// <summary>The nodes are part of the graph from now on.</summary>
    internal void Register(IReadOnlyList<BlockNode> all)
    {
        lock (gate)
        {
            foreach (var node in all)
            {
                if (node.Graph is null)
                {
                    node.Graph = this;
                    nodes.Add(node);
                }
            }
        }
    }

    /// <summary>A node is about to close.</summary>
    internal void Unregister(BlockNode node)
    {
        lock (gate)
        {
            nodes.Remove(node);
            node.Graph = null;
        }
    }
}
