namespace Byre.Nodes;

/// <summary>The permissions an edge uses, and those it lets the other users of the same node use.</summary>
/// <param name="Used">What this user does.</param>
/// <param name="Shared">What others may do at the same time.</param>
public readonly record struct PermissionSet(Permissions Used, Permissions Shared)
{
    /// <summary>Uses nothing, shares everything.</summary>
    public static PermissionSet Nothing => new(Permissions.None, Permissions.All);
}
