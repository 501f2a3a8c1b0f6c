using Byre.Nodes;

namespace Byre.Graph;

/// <summary>A node as the permission solver sees it.</summary>
/// <param name="Name">Its name, for messages.</param>
/// <param name="IsReadOnly">It cannot be written.</param>
/// <param name="ForceShare">Its users share everything, whatever they would want.</param>
/// <param name="PermissionsForChild">What it needs of a child with a role, given what its parents use and share; pure.</param>
internal sealed record SolverNode(
    string Name, bool IsReadOnly, bool ForceShare, Func<ChildRole, PermissionSet, PermissionSet> PermissionsForChild);
