using System.Runtime.InteropServices;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

/// <summary>What is written behind leaves the page cache, and nothing of it is lost.</summary>
public sealed partial class WriteBehindTests : IDisposable
{
    private const long MiB = 1 << 20;
    private const long Length = 160 * MiB;
    private const long Places = 80 * MiB;

    // Beside the program: what a temporary folder holds may have no device behind it.
    private readonly string path = Path.Combine(AppContext.BaseDirectory, $"write-behind-{Guid.NewGuid():N}");

    public void Dispose() => File.Delete(path);

    [DiskTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Of_a_long_copy_the_page_cache_keeps_its_end(bool writeBehind)
    {
        var data = new byte[MiB];
        new Random(5).NextBytes(data);
        await using var edge = Make(writeBehind);
        for (var at = 0L; at < Length; at += MiB)
        {
            await edge.WriteAsync(at, data);
        }

        var resident = ResidentBytes();
        if (writeBehind)
        {
            Assert.InRange(resident, 0, 80 * MiB); // 64 and what the file system keeps of windows that it holds in greater runs
        }
        else
        {
            Assert.InRange(resident, 120 * MiB, Length); // the measure works
        }
    }

    [DiskFact]
    public async Task Writes_of_all_places_side_by_side_are_whole()
    {
        var model = new byte[Places];
        await using var edge = Make(writeBehind: true);
        await Parallel.ForAsync(0, 4, async (lane, _) =>
        {
            // Each lane has its own quarter and jumps about in it, so that windows are written to again after they have left.
            var random = new Random(lane);
            var quarter = Places / 4;
            for (var i = 0; i < 400; i++)
            {
                var length = random.Next(1, 300_000);
                var offset = (int)((lane * quarter) + random.NextInt64(quarter - length));
                random.NextBytes(model.AsSpan(offset, length));
                await edge.WriteAsync(offset, model.AsMemory(offset, length));
            }
        });
        var read = new byte[Places];
        await edge.ReadAsync(0, read);
        Assert.True(model.AsSpan().SequenceEqual(read));
    }

    private BlockEdge Make(bool writeBehind) => new(
        FileNode.Create(new FileNodeOptions { Path = path, WriteBehind = writeBehind, Blocking = true }, Length),
        ChildRole.None,
        DefaultPermissions.Writer);

    /// <summary>How much of the file is in the page cache (mincore(2)).</summary>
    private unsafe long ResidentBytes()
    {
        using var handle = File.OpenHandle(path, share: FileShare.ReadWrite);
        var map = Map(null, (nint)Length, protection: 1, flags: 1, (int)handle.DangerousGetHandle(), 0);
        Assert.NotEqual(-1, (nint)map);
        try
        {
            var pages = new byte[Length / Environment.SystemPageSize];
            fixed (byte* first = pages)
            {
                Assert.Equal(0, InCore(map, (nint)Length, first));
            }

            return pages.LongCount(p => (p & 1) != 0) * Environment.SystemPageSize;
        }
        finally
        {
            Assert.Equal(0, Unmap(map, (nint)Length));
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static unsafe partial void* Map(void* address, nint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static unsafe partial int Unmap(void* address, nint length);

    [LibraryImport("libc", EntryPoint = "mincore")]
    private static unsafe partial int InCore(void* address, nint length, byte* pages);

    private static string? NoDisk() => new DriveInfo(AppContext.BaseDirectory).DriveFormat is "tmpfs" or "ramfs"
        ? "The tests lie in a file system of memory, whose files never leave it"
        : null;

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class DiskTheoryAttribute : TheoryAttribute
    {
        public DiskTheoryAttribute() => Skip = NoDisk();
    }

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class DiskFactAttribute : FactAttribute
    {
        public DiskFactAttribute() => Skip = NoDisk();
    }
}
