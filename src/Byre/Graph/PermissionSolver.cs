using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// Works out what every edge of a graph uses and shares, from what the users at its roots want. Pure: the same description
/// gives the same answer, and nothing is changed.
/// </summary>
internal static class PermissionSolver
{
    /// <summary>Solves.</summary>
    public static PermissionSolution Solve(IReadOnlyList<SolverNode> nodes, IReadOnlyList<SolverEdge> edges)
    {
        var incoming = Group(nodes.Count, edges, static e => e.Child);
        var outgoing = Group(nodes.Count, edges, static e => e.Parent);
        if (ParentsFirst(nodes, edges, incoming, outgoing) is not { } order)
        {
            return PermissionSolution.Impossible(ErrorCode.Invalid, "The graph would have a cycle.");
        }

        var edgeSets = new PermissionSet[edges.Count];
        var nodeSets = new PermissionSet[nodes.Count];
        for (var i = 0; i < edges.Count; i++)
        {
            edgeSets[i] = Shared(nodes[edges[i].Child].ForceShare, edges[i].Given);
        }

        foreach (var n in order)
        {
            var all = PermissionSet.Nothing;
            foreach (var e in incoming[n])
            {
                all = new(all.Used | edgeSets[e].Used, all.Shared & edgeSets[e].Shared);
            }

            nodeSets[n] = all;
            if ((FindConflict(nodes, edges, edgeSets, incoming[n]) ?? FindReadOnly(nodes, edges, edgeSets, n, incoming[n])) is { } bad)
            {
                return bad;
            }

            if (incoming[n].Count == 0)
            {
                continue; // its children keep what they were given
            }

            foreach (var e in outgoing[n])
            {
                edgeSets[e] = Shared(nodes[edges[e].Child].ForceShare, nodes[n].PermissionsForChild(edges[e].Role, all));
            }
        }

        return new PermissionSolution(edgeSets, nodeSets, null, default);
    }


    /// <summary>What an edge to a node comes to: all is shared with one that is opened so.</summary>
    public static PermissionSet Shared(bool forceShare, PermissionSet set) => forceShare ? set with { Shared = Permissions.All } : set;

    private static PermissionSolution? FindConflict(
        IReadOnlyList<SolverNode> nodes, IReadOnlyList<SolverEdge> edges, PermissionSet[] sets, List<int> users)
    {
        foreach (var a in users)
        {
            foreach (var b in users)
            {
                var refused = sets[a].Used & ~sets[b].Shared;
                if (a == b || refused == 0)
                {
                    continue;
                }

                var child = nodes[edges[a].Child].Name;
                return PermissionSolution.Impossible(
                    ErrorCode.Locked,
                    $"The use of '{child}' by {User(nodes, edges[a])} conflicts with use by {User(nodes, edges[b])}, "
                    + $"which does not allow '{PermissionNames.Of(refused)}' on '{child}'.");
            }
        }

        return null;
    }

    private static PermissionSolution? FindReadOnly(
        IReadOnlyList<SolverNode> nodes, IReadOnlyList<SolverEdge> edges, PermissionSet[] sets, int node, List<int> users)
    {
        const Permissions changing = Permissions.Write | Permissions.WriteUnchanged | Permissions.Resize;
        if (nodes[node].IsReadOnly)
        {
            foreach (var e in users)
            {
                if ((sets[e].Used & changing) != 0)
                {
                    return PermissionSolution.Impossible(
                        ErrorCode.ReadOnly,
                        $"'{nodes[node].Name}' is read-only, but {User(nodes, edges[e])} needs '{PermissionNames.Of(sets[e].Used & changing)}'.");
                }
            }
        }

        return null;
    }

    private static string User(IReadOnlyList<SolverNode> nodes, SolverEdge edge) =>
        edge.Parent < 0 ? $"'{edge.Name}'" : $"'{nodes[edge.Parent].Name}' as '{edge.Name}'";

    private static List<int>[] Group(int count, IReadOnlyList<SolverEdge> edges, Func<SolverEdge, int> node)
    {
        var result = new List<int>[count];
        for (var i = 0; i < count; i++)
        {
            result[i] = [];
        }

        for (var i = 0; i < edges.Count; i++)
        {
            if (node(edges[i]) is >= 0 and var n)
            {
                result[n].Add(i);
            }
        }

        return result;
    }

    /// <summary>An order in which every node comes after its parents; null where there is a cycle.</summary>
    private static List<int>? ParentsFirst(
        IReadOnlyList<SolverNode> nodes, IReadOnlyList<SolverEdge> edges, List<int>[] incoming, List<int>[] outgoing)
    {
        var waitsFor = new int[nodes.Count];
        var order = new List<int>(nodes.Count);
        for (var n = 0; n < nodes.Count; n++)
        {
            waitsFor[n] = incoming[n].Count(e => edges[e].Parent >= 0);
            if (waitsFor[n] == 0)
            {
                order.Add(n);
            }
        }

        for (var i = 0; i < order.Count; i++)
        {
            foreach (var e in outgoing[order[i]])
            {
                if (--waitsFor[edges[e].Child] == 0)
                {
                    order.Add(edges[e].Child);
                }
            }
        }

        return order.Count == nodes.Count ? order : null;
    }
}
