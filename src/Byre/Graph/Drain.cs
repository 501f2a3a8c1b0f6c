using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// While it lives no request of a user is in flight in a node, in what is below it and in what is above any of these; users'
/// requests that come meanwhile wait. Drains nest.
/// </summary>
/// <remarks>
/// Only users' requests are held back: a driver's own requests to its children pass, so that what is in flight can end, and
/// the holder may let drivers flush. The holder itself must not send requests through a user's edge of a drained node. A
/// parent that arrives over a drained node is drained as well. A lease that a user holds is in flight. Lock order: a node's lock, then <c>gate</c>, then the
/// node's tracker.
/// </remarks>
public sealed class Drain : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly List<BlockNode> nodes = [];
    private bool ended;

    private Drain()
    {
    }

    /// <summary>Holds users' requests back and waits for what is in flight.</summary>
    public static async ValueTask<Drain> BeginAsync(BlockNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        var drain = new Drain();
        // Parents are waited for first: when a node's turn comes its parents are at rest and send it nothing more. What joins
        // meanwhile comes in the next round.
        var atRest = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        while (true)
        {
            var fresh = Related(node).FindAll(n => !atRest.Contains(n));
            if (fresh.Count == 0)
            {
                return drain;
            }

            foreach (var n in fresh)
            {
                drain.Include(n);
            }

            foreach (var n in fresh)
            {
                await n.Tracker.WaitIdleAsync().ConfigureAwait(false);
                atRest.Add(n);
            }
        }
    }

    /// <summary>Users' requests go on.</summary>
    public ValueTask DisposeAsync()
    {
        List<BlockNode> held;
        lock (gate)
        {
            if (ended)
            {
                return default;
            }

            ended = true;
            held = [.. nodes];
        }

        for (var i = held.Count - 1; i >= 0; i--)
        {
            held[i].RemoveDrain(this);
            held[i].Tracker.EndDrain();
        }

        return default;
    }

    /// <summary>Holds back the requests of users of one more node. It does not wait.</summary>
    internal void Include(BlockNode node)
    {
        lock (gate)
        {
            if (ended || nodes.Contains(node))
            {
                return;
            }

            nodes.Add(node);
            node.Tracker.BeginDrain();
        }

        node.AddDrain(this);
        foreach (var edge in node.Parents)
        {
            if (edge.Parent is not null)
            {
                Include(edge.Parent);
            }
        }
    }

    /// <summary>A node, all below it, and all above these; parents before their children.</summary>
    private static List<BlockNode> Related(BlockNode node)
    {
        var set = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        var open = new Stack<BlockNode>([node]);
        while (open.TryPop(out var n))
        {
            if (set.Add(n))
            {
                foreach (var child in n.Children)
                {
                    open.Push(child.Node);
                }
            }
        }

        foreach (var n in set)
        {
            open.Push(n);
        }

        while (open.TryPop(out var n))
        {
            foreach (var edge in n.Parents)
            {
                if (edge.Parent is not null && set.Add(edge.Parent))
                {
                    open.Push(edge.Parent);
                }
            }
        }

        var order = new List<BlockNode>();
        var visited = new HashSet<BlockNode>(ReferenceEqualityComparer.Instance);
        foreach (var n in set)
        {
            Visit(n, set, visited, order);
        }

        return order;
    }

    /// <summary>Adds a node behind its parents.</summary>
    private static void Visit(BlockNode node, HashSet<BlockNode> set, HashSet<BlockNode> visited, List<BlockNode> order)
    {
        // A chain may be thousands of layers deep, so this goes up without recursion.
        var path = new Stack<BlockNode>([node]);
        while (path.TryPeek(out var n))
        {
            BlockNode? parent = null;
            if (!visited.Contains(n))
            {
                foreach (var edge in n.Parents)
                {
                    if (edge.Parent is { } p && set.Contains(p) && !visited.Contains(p))
                    {
                        parent = p;
                        break;
                    }
                }
            }

            if (parent is not null)
            {
                path.Push(parent);
                continue;
            }

            path.Pop();
            if (visited.Add(n))
            {
                order.Add(n);
            }
        }
    }
}
