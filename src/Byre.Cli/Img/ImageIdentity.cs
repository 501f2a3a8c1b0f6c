using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>Tells whether two nodes are the same image, opened twice.</summary>
internal static class ImageIdentity
{
    /// <summary>The host file that an image lies in; null where there is none, or it cannot be told.</summary>
    public static (ulong Device, ulong Inode)? Of(BlockNode node)
    {
        for (BlockNode? at = node; at is not null; at = at.PrimaryChild?.Node)
        {
            if (at is FileNode file)
            {
                return file.Identity is (0, 0) ? null : file.Identity;
            }
        }

        return null;
    }

    /// <summary>Both are the same file, read in the same format.</summary>
    public static bool IsSame(BlockNode one, BlockNode other) =>
        ReferenceEquals(one, other) || (one.DriverName == other.DriverName && one.Length == other.Length && Of(one) is { } identity && Of(other) == identity);
}
