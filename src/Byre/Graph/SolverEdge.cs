using Byre.Nodes;

namespace Byre.Graph;

/// <summary>An edge as the permission solver sees it.</summary>
/// <param name="Parent">Index of the parent node; -1 for a user outside of the graph.</param>
/// <param name="Child">Index of the child node.</param>
/// <param name="Role">What the child is.</param>
/// <param name="Name">The edge's name, for messages.</param>
/// <param name="Given">
/// What a user uses and shares; also holds for the children of a node that has no parents (yet), since nobody asks
/// anything of it.
/// </param>
internal readonly record struct SolverEdge(int Parent, int Child, ChildRole Role, string Name, PermissionSet Given);
