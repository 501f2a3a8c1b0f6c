using Byre.Nodes;

namespace Byre.Graph;

/// <summary>Notices, while a chain is opened from its top, that it names a file again that it is already in.</summary>
public sealed class BackingLoopGuard
{
    private readonly HashSet<string> seen = new(StringComparer.Ordinal);

    /// <summary>How many files the chain has so far.</summary>
    public int Count => seen.Count;

    /// <summary>The next file of the chain.</summary>
    /// <param name="identity">What tells files apart: the path with links resolved, or a device and inode number.</param>
    /// <param name="name">The name to show.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it is in the chain already.</exception>
    public void Enter(string identity, string name)
    {
        if (!seen.Add(identity))
        {
            throw new BlockException(ErrorCode.Invalid, $"The backing chain comes back to '{name}': it has no end.", name);
        }
    }

    /// <summary>The identity of a file by its path: the path with its links resolved.</summary>
    public static string IdentityOf(string path)
    {
        try
        {
            return PathResolver.Resolve(Path.GetFullPath(path));
        }
        catch (IOException)
        {
            return path;
        }
    }
}
