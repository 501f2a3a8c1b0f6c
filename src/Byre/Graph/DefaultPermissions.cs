using Byre.Nodes;

namespace Byre.Graph;

/// <summary>The usual answers of a driver to <see cref="BlockNode.PermissionsForChild"/>. All are pure.</summary>
public static class DefaultPermissions
{
    /// <summary>
    /// For a user who only looks, and does not mind what others do meanwhile (force-share): reads, shares everything.
    /// </summary>
    public static PermissionSet ForceShare => new(Permissions.ConsistentRead, Permissions.All);

    /// <summary>
    /// For a tool's own edge to an image. QEMU's tools share everything here, and leave it to the format to keep others away
    /// from its metadata, so a raw image can have several writers; only the source of convert is exclusive.
    /// </summary>
    /// <param name="write">It writes.</param>
    /// <param name="resize">It changes the length.</param>
    /// <param name="exclusive">Nobody else may change the image meanwhile.</param>
    public static PermissionSet ForUser(bool write, bool resize = false, bool exclusive = false) => new(
        Permissions.ConsistentRead | (write ? Permissions.Write : Permissions.None) | (resize ? Permissions.Resize : Permissions.None),
        exclusive ? Permissions.ConsistentRead | Permissions.WriteUnchanged : Permissions.All);

    /// <summary>For a user who reads an image: others may read it too, but not change it.</summary>
    public static PermissionSet Reader => new(Permissions.ConsistentRead, Permissions.ConsistentRead | Permissions.WriteUnchanged);

    /// <summary>For a user who reads, writes and resizes an image: others may only read it.</summary>
    public static PermissionSet Writer =>
        new(Permissions.ConsistentRead | Permissions.Write | Permissions.Resize, Permissions.ConsistentRead | Permissions.WriteUnchanged);

    /// <summary>A filter passes on what its parents use and share.</summary>
    public static PermissionSet ForFilter(PermissionSet parents) => parents;

    /// <summary>
    /// A format driver: by role, as <see cref="ForStorage"/> for metadata and data and <see cref="ForBacking"/> for backing.
    /// </summary>
    /// <param name="role">What the child is.</param>
    /// <param name="parents">What the format's parents use and share.</param>
    /// <param name="writable">The format's image is open for writing.</param>
    public static PermissionSet ForFormat(ChildRole role, PermissionSet parents, bool writable)
    {
        if ((role & ChildRole.Filtered) != 0)
        {
            return ForFilter(parents);
        }

        return (role & ChildRole.Backing) != 0 ? ForBacking(parents) : ForStorage(role, parents, writable);
    }

    /// <summary>
    /// A child that stores data or metadata. Metadata is always read consistently, is written whenever the image is writable
    /// (also when the guest writes nothing), and nobody else may write or resize it; a child with data alone is written and
    /// grown when the parents write, and nobody else may resize it.
    /// </summary>
    /// <param name="role">Data, Metadata or both.</param>
    /// <param name="parents">What the format's parents use and share.</param>
    /// <param name="writable">The format's image is open for writing.</param>
    public static PermissionSet ForStorage(ChildRole role, PermissionSet parents, bool writable)
    {
        var (used, shared) = parents;
        if ((role & ChildRole.Metadata) != 0)
        {
            used |= Permissions.ConsistentRead | (writable ? Permissions.Write | Permissions.Resize : Permissions.None);
            shared &= ~(Permissions.Write | Permissions.Resize);
        }

        if ((role & ChildRole.Data) != 0)
        {
            used |= (used & Permissions.Write) != 0 ? Permissions.Resize : Permissions.None;
            shared &= ~Permissions.Resize;
        }

        return new(used, shared);
    }

    /// <summary>
    /// A backing child is only read, and only as consistently as the parents want it. Others may write or resize it only
    /// where the parents can live with content that changes under them.
    /// </summary>
    public static PermissionSet ForBacking(PermissionSet parents)
    {
        var shared = Permissions.ConsistentRead | Permissions.WriteUnchanged;
        if ((parents.Shared & Permissions.Write) != 0)
        {
            shared |= Permissions.Write | Permissions.Resize;
        }

        return new(parents.Used & Permissions.ConsistentRead, shared);
    }
}
