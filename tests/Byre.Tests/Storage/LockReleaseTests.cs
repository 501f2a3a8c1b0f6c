using System.Globalization;
using System.Runtime.InteropServices;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

public sealed partial class LockReleaseTests
{
    /// <summary>A process that is being started has copies of all descriptors for a moment: they must not keep the locks.</summary>
    [Fact]
    public async Task A_copied_descriptor_does_not_keep_the_locks_of_a_closed_file()
    {
        var path = Path.GetTempFileName();
        try
        {
            var first = await new BlockGraph().AttachAsync(
                FileNode.Open(new FileNodeOptions { Path = path }), ChildRole.None, DefaultPermissions.Writer);
            var descriptor = new DirectoryInfo("/proc/self/fd").GetFileSystemInfos().First(link => link.LinkTarget == path).Name;
            var copy = Duplicate(int.Parse(descriptor, CultureInfo.InvariantCulture));
            try
            {
                await first.DisposeAsync();
                var second = await new BlockGraph().AttachAsync(
                    FileNode.Open(new FileNodeOptions { Path = path }), ChildRole.None, DefaultPermissions.Writer);
                await second.DisposeAsync();
            }
            finally
            {
                _ = Close(copy);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
