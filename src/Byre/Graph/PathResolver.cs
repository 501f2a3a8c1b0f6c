using System.Runtime.InteropServices;

namespace Byre.Graph;

/// <summary>Resolves the symbolic links of a path, and tells plain files from others.</summary>
internal static partial class PathResolver
{
    private const int MaxLinks = 40; // as Linux allows in one path

    /// <summary>The path without symbolic links, "." and "..". What does not exist at its end is kept as it is.</summary>
    /// <exception cref="IOException">The links go in a circle, or there are too many.</exception>
    public static string Resolve(string path)
    {
        var rest = new Stack<string>();
        Push(rest, path);
        var done = Path.GetPathRoot(path) is { Length: > 0 } root ? root : "/";
        for (var links = 0; rest.TryPop(out var part);)
        {
            if (part is "" or ".")
            {
                continue;
            }

            if (part == "..")
            {
                done = Path.GetDirectoryName(done) ?? done;
                continue;
            }

            var next = Path.Combine(done, part);
            if (new FileInfo(next).LinkTarget is not { } target)
            {
                done = next;
                continue;
            }

            if (++links > MaxLinks)
            {
                throw new IOException("Too many levels of symbolic links.");
            }

            done = Path.IsPathRooted(target) ? "/" : done;
            Push(rest, target);
        }

        return done;
    }

    /// <summary>The path leads to a regular file (no device, pipe or socket, which would do something when opened).</summary>
    public static unsafe bool IsRegularFile(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return (File.GetAttributes(path) & (FileAttributes.Device | FileAttributes.Directory)) == 0;
        }

        // struct statx is the same on all architectures: 256 bytes, stx_mode is the 16-bit word at 28.
        const int atFdcwd = -100;
        const int atSymlinkNofollow = 0x100;
        const uint statxType = 1;
        var buffer = stackalloc byte[256];
        return Statx(atFdcwd, path, atSymlinkNofollow, statxType, buffer) == 0 && (*(ushort*)(buffer + 28) & 0xf000) == 0x8000;
    }

    private static void Push(Stack<string> rest, string path)
    {
        var parts = path.Split('/');
        for (var i = parts.Length - 1; i >= 0; i--)
        {
            rest.Push(parts[i]);
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static unsafe partial int Statx(int directory, string path, int flags, uint mask, byte* buffer);
}
