using Byre.Nodes;

namespace Byre.Graph;

/// <summary>What the solver found: the sets, or why there are none.</summary>
/// <param name="Edges">The set of every edge, in the order they were given; empty with a conflict.</param>
/// <param name="Nodes">What all users of every node use together, and what all of them share; empty with a conflict.</param>
/// <param name="Conflict">One line for a person, or null.</param>
/// <param name="ConflictCode">What kind of conflict.</param>
internal sealed record PermissionSolution(
    PermissionSet[] Edges, PermissionSet[] Nodes, string? Conflict, ErrorCode ConflictCode)
{
    /// <summary>A conflict.</summary>
    public static PermissionSolution Impossible(ErrorCode code, string message) => new([], [], message, code);
}
