namespace Byre.Nodes;

/// <summary>What a child is to its parent; a child may be several at once.</summary>
[Flags]
public enum ChildRole
{
    /// <summary>No special role (the root edge of a user).</summary>
    None = 0,

    /// <summary>Guest data is stored in it.</summary>
    Data = 1,

    /// <summary>Format metadata is stored in it.</summary>
    Metadata = 2,

    /// <summary>The parent is a filter: the child has the same length and content.</summary>
    Filtered = 4,

    /// <summary>Reads of what the parent lacks go to it (backing).</summary>
    Backing = 8,

    /// <summary>The child through which the parent is reached when a single file must be named.</summary>
    Primary = 16,
}
