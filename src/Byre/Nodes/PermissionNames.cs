namespace Byre.Nodes;

/// <summary>The permissions' names as QEMU's block-layer documents write them.</summary>
public static class PermissionNames
{
    /// <summary>The names of the bits of <paramref name="permissions"/>, joined by ", ": "consistent read, write".</summary>
    public static string Of(Permissions permissions)
    {
        var names = new List<string>(4);
        if ((permissions & Permissions.ConsistentRead) != 0)
        {
            names.Add("consistent read");
        }

        if ((permissions & Permissions.Write) != 0)
        {
            names.Add("write");
        }

        if ((permissions & Permissions.WriteUnchanged) != 0)
        {
            names.Add("write unchanged");
        }

        if ((permissions & Permissions.Resize) != 0)
        {
            names.Add("resize");
        }

        return string.Join(", ", names);
    }
}
